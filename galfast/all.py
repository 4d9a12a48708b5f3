"Everything galfast has, on top of all of `fastai.vision.all`, for `from galfast.all import *`"
from fastai.vision.all import *

from .imports import *
from .core import *
from .survey import *
from .sim import *
from .net import *
from .skyserver import *
from .cutouts import *
from .image import *
from .augment import *
from .reader import *
from .pack import *
from .data import *
from .photometry import *
from .models import *
from .losses import *
from .archs import *
from .metrics import *
from .fast import *
from .learner import *
from .gp import *
from .run import *
from .predict import *
from .interpret import *
from .plot import *
from .train import *
