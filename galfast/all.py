"Everything galfast has, on top of all of `fastai.vision.all`, for `from galfast.all import *`"
import warnings as _warnings

with _warnings.catch_warnings(): # what torch and fastai say of pandas and of each other is none of the importer's business
    _warnings.simplefilter('ignore')
    from fastai.vision.all import *

from .imports import *
from .core import *
from .files import *
from .hdus import *
from .unpack import *
from .schema import *
from .explain import *
from .tables import *
from .survey import *
from .find import *
from .labels import *
from .sim import *
from .simsets import *
from .deadline import *
from .net import *
from .download import *
from .skyserver import *
from .arrays import *
from .pickles import *
from .pictures import *
from .cutouts import *
from .webimages import *
from .labelled import *
from .galaxy10 import *
from .decoder import *
from .fitsfile import *
from .bands import *
from .wcs import *
from .image import *
from .losses import *
from .metrics import *
from .heads import *
from .targets import *
from .columns import *
from .augment import *
from .reader import *
from .pack import *
from .rare import *
from .data import *
from .photometry import *
from .models import *
from .classic import *
from .archs import *
from .fast import *
from .learner import *
from .gp import *
from .run import *
from .predict import *
from .interpret import *
from .plot import *
from .train import *

import sys as _sys

explain([m for k,m in list(_sys.modules.items()) if k.startswith('galfast.') and k.count('.')==1 and k!='galfast.all'])
