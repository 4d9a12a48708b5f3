"""Plain fastai with the blog's recipe: the baseline that galfast is measured against. `real_galaxies.py --methods plain` runs it.

The blog trains xresnet34 on 130,000 images of 224 px. A few hundred images of another size need three changes, the fewest that
make sense: xresnet18, more epochs, and images resized to 144 px before the random 112 px crop where they are larger than that.
"""
import time
from pathlib import Path

import numpy as np, pandas as pd
from fastai.vision.all import *

def root_mean_squared_error(p, y): return torch.sqrt(F.mse_loss(p.view(-1), y.view(-1)))

def plain_fold(root, df, target, valid_idx, epochs, bs, seed=0):
    "Train on everything but `valid_idx`, predict it with fastai's test-time augmentation: (predictions, seconds and CPU seconds of training)"
    set_seed(seed)
    t,c = time.perf_counter(),time.process_time()
    cls = not pd.api.types.is_numeric_dtype(df[target])
    size = PILImage.create(root/'images'/f'{df.objID[0]}.jpg').size[0]
    dblock = DataBlock(blocks=(ImageBlock, CategoryBlock if cls else RegressionBlock),
        get_x=ColReader(['objID'], pref=f'{root}/images/', suff='.jpg'), get_y=ColReader([target] if not cls else target),
        splitter=IndexSplitter(valid_idx), item_tfms=([Resize(144)] if size>144 else [])+[RandomCrop(112)],
        batch_tfms=aug_transforms(max_zoom=1., flip_vert=True, max_lighting=0., max_warp=0.)+[Normalize])
    dls = ImageDataLoaders.from_dblock(dblock, df, path=root, bs=bs, num_workers=0)
    learn = Learner(dls, xresnet18(n_out=dls.c, sa=True, act_cls=nn.Mish), opt_func=ranger,
                    loss_func=CrossEntropyLossFlat() if cls else root_mean_squared_error, path=Path('/tmp'))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, 1e-2)
        secs,cpu = time.perf_counter()-t, time.process_time()-c
        preds,_ = learn.tta()
    return np.array(dls.vocab)[preds.argmax(1).numpy()] if cls else preds[:,0].numpy(),secs,cpu
