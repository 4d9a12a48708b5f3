"What all of galfast stands on: settings, errors, tables, files that are checked before they are read"
