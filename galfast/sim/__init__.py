"Simulated galaxies and sets, whose truth is known"
from .galaxies import *
from .sets import *
