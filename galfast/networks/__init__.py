"Networks, and the registry by name"
