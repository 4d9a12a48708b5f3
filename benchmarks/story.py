"The 15-minute galaxy network from JPEGs to a validation RMSE: simulated galaxies of 224 px, xresnet34 with self-attention and Mish, 7 epochs"
import os

from common import *

def full_story(n, root, device, epochs=7, bs=128, lr=1e-2):
    "`galfast` is the time from packed images; from JPEGs it is that of packing more"
    made,sky = seconds(partial(many_galaxies, n, root, device))
    bs = min(bs, max(n//20, 8)) # a small trial has to have steps
    packed,_ = seconds(partial(sky.galfast_dls, bs))
    def ours():
        learn = sky.galfast_learner('xresnet34', True, bs, seed=0)
        fit(learn, epochs, lr)
        return learn.recorder.values[-1][learn.recorder.metric_names.index('rmse')-1]
    def plain():
        set_seed(0)
        learn = sky.plain_learner('xresnet34', True, bs, scaled=True)
        fit(learn, epochs, lr)
        return learn.recorder.values[-1][-1]
    (a,ea),(b,eb) = seconds(ours, device),seconds(plain, device)
    return result(a, b, 's', n, device, less_is_better=True, packing_s=packed, from_jpegs=b/(a+packed), epochs=epochs, bs=bs, rmse=float(ea), baseline_rmse=float(eb), rmse_ratio=float(ea/eb), augment=describe_augment(), images_made_in_s=made, cores=os.cpu_count())
