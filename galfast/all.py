"What users need, on top of all of `fastai.vision.all`, for `from galfast.all import *`; the rest is in its module"
import warnings as _warnings

with _warnings.catch_warnings(): # what torch and fastai say of each other is none of the importer's business
    _warnings.simplefilter('ignore')
    from fastai.vision.all import *

from .imports import *

# tables, images on disk, files of others
from .base.core import GalfastError,CatalogError,ImageError,RunError,galfast_cfg,galfast_path,in_bytes
from .base.schema import read_json
from .base.tables import read_catalog,write_table
from .base.find import list_images,find_images
from .base.arrays import open_hdf5
from .base.pickles import unpickle_arrays
from .base.pictures import open_picture
from .base.jobs import Recipe
from .base.questions import VoteSchema,vote_schema
from .base.labelled import LabelledImages,convert_pickle

# galaxies with known truth
from .sim.galaxies import sim_catalog,irreducible_rmse,sim_galaxy,sim_rgb,sim_survey
from .sim.sets import cosmos,sim_stamps,sim_lenses,sim_galaxy10

# catalogues and images from surveys
from .surveys.records import services,all_surveys,CutoutAsk,degrees,Survey,get_survey
from .surveys.net import NetError,user_agent
from .surveys.download import download_file
from .surveys.skyserver import SkyServer,SQLError,query_to_file
from .surveys.skyserver import metallicity_sql,stellar_mass_sql,sfr_sql,spec_z_sql,photo_z_sql
from .surveys.skyserver import galaxy_zoo1_sql,galaxy_zoo2_sql
from .surveys.cutouts import download_cutouts,describe_cutouts,verify_cutouts
from .surveys.webimages import fetch_images
from .surveys.galaxy10 import galaxy10_sets,download_galaxy10,galaxy10_images,read_galaxy10

# images, and what is done to them
from .images.fitsfile import open_fits
from .images.fits import read_fits,FITSImage,FITSImageBlock,rgb_image,image_stats
from .images.fits import Stretch,AsinhTfm,LinearTfm,LogTfm,MinMaxTfm,StampTfm,SubtractBackground,CropResize
from .images.augment import GalaxyAugment,AddNoise,ShiftBackground,DropBands,CutHoles,BandNormalize
from .images.reader import ImageReader
from .images.pack import PackError,ImagePack,pack_images
from .images.photometry import Photometry

# networks
from .networks.xresnets import MishCuda,ScaleOutput,galaxy_xresnet,galnet
from .networks.xresnets import galaxy_xresnet9,galaxy_xresnet10,galaxy_xresnet14,galaxy_xresnet18
from .networks.xresnets import galaxy_xresnet26,galaxy_xresnet34,galaxy_xresnet50
from .networks.classic import galaxy_alexnet,galaxy_vgg16,galaxy_cnn,galaxy_vgg6,galaxy_resnet50,galaxy_mlp
from .networks.archs import galaxy_archs,register_arch,load_pretrained,GalaxyMultimodal

# targets, tables beside images, batches
from .data.losses import root_mean_squared_error,rmse_loss,ScaledMSE,ScaledRMSE,VoteLoss,BinaryLoss,OneVsRest
from .data.metrics import root_mse,mean_abs_err,mean_bias,nmad,outlier_fraction,r2
from .data.metrics import class_accuracy,balanced_accuracy,macro_f1,second_choice,label_accuracy,label_f1
from .data.metrics import purity,completeness,positive_f1,roc_auc,average_precision
from .data.metrics import purity_completeness,best_choice,bootstrap_err
from .data.heads import register_head,TargetHead,NumberHead,ClassHead,LabelHead,VoteHead,NumberBlock,scores
from .data.votes import QuestionHead
from .data.targets import TargetSpec,target_spec
from .data.columns import TableSpec,TableBlock,ImageTableBlock,TableReader
from .data.rare import read_npy,read_class_arrays,minmax_images,augment_class,BlendImages,oversample_rows
from .data.loaders import GalaxyDataLoaders,galaxy_datablock,CutoutReader,load_images,channels_first
from .data.sources import FileSource
from .data.loaders import StratifiedSplitter,fold_ids

# training
from .training.fast import adamw,fused_ranger,LeanMish,FastMath,Compile
from .training.learner import GalaxyLearner,galaxy_learner,galaxy_multimodal,predict_views,TaskMetric
from .training.learner import KeepBest,MetricCutoff,StepHistory,Checkpoint
from .training.answers import Answer
from .training.nets import Network
from .training.fitting import fit_recipe
from .training.members import Member,ImageView,shrink
from .training.gp import PhotometryGP
from .training.run import GalaxyRun,save_run,load_run
from .training.plain import PlainLearner
from .training.recipes import choose_recipe
from .train import train_galaxies

# predictions, and how good they are
from .results.predict import predict_catalog,predict_arrays,evaluate_predictions,coverage
from .results.interpret import occlusion_map
from .results.plot import plot_predictions,plot_history,plot_confusion,plot_ranking,plot_images,plot_class,plot_worst
from .results.plot import plot_votes,plot_occlusion,galaxy2rgb

import sys as _sys

from .base.explain import explain as _explain

_explain([m for k,m in list(_sys.modules.items()) if k.startswith('galfast.') and k!='galfast.all'])
