"Where galaxies come from: records of surveys, SkyServer, cutouts; the one floor with a network"
