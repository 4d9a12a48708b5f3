"What every galfast module starts from: nothing heavier than numpy and pandas"
import json,math,os,re,shutil,sys,tempfile,time
from contextlib import ExitStack,contextmanager,nullcontext
from dataclasses import asdict,dataclass,field
from functools import partial
from pathlib import Path

import numpy as np, pandas as pd

from fastcore.basics import *
from fastcore.foundation import *
from fastcore.meta import delegates
from fastcore.xtras import Config,modified_env
