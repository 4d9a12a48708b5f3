"Simulated galaxies and sets, whose truth is known"
