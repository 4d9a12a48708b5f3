"Everything galfast has, on top of all of `fastai.vision.all`, for `from galfast.all import *`"
import warnings as _warnings

with _warnings.catch_warnings(): # what torch and fastai say of pandas and of each other is none of the importer's business
    _warnings.simplefilter('ignore')
    from fastai.vision.all import *

from .imports import *
from .base.core import *
from .base.files import *
from .base.hdus import *
from .base.unpack import *
from .base.schema import *
from .base.explain import *
from .base.jobs import *
from .base.runfile import *
from .base.tables import *
from .surveys.records import *
from .base.find import *
from .base.labels import *
from .sim.galaxies import *
from .sim.sets import *
from .base.deadline import *
from .surveys.net import *
from .surveys.download import *
from .surveys.skyserver import *
from .base.arrays import *
from .base.pickles import *
from .base.pictures import *
from .surveys.cutouts import *
from .surveys.webimages import *
from .base.labelled import *
from .surveys.galaxy10 import *
from .images.decoder import *
from .images.fitsfile import *
from .images.bands import *
from .images.wcs import *
from .images.fits import *
from .data.losses import *
from .data.metrics import *
from .data.heads import *
from .data.targets import *
from .data.columns import *
from .images.augment import *
from .images.reader import *
from .images.pack import *
from .data.rare import *
from .data.loaders import *
from .images.photometry import *
from .networks.xresnets import *
from .networks.classic import *
from .networks.archs import *
from .training.fast import *
from .training.learner import *
from .training.gp import *
from .training.run import *
from .results.predict import *
from .results.interpret import *
from .results.plot import *
from .train import *

import sys as _sys

explain([m for k,m in list(_sys.modules.items()) if k.startswith('galfast.') and k!='galfast.all'])
