"How images are read, turned, packed and measured"
