"The code of the blog that galfast is built to reproduce runs unchanged after `from galfast import *`"
import subprocess,sys,textwrap

from galfast.sim.galaxies import sim_survey

blog = '''
from galfast import *
ROOT = Path('.').resolve()
df = pd.read_csv(ROOT/'catalog.csv', dtype={'objID': str})
dblock = DataBlock(blocks=(ImageBlock, RegressionBlock),
    get_x=ColReader(['objID'], pref=f'{ROOT}/images/', suff='.jpg'), get_y=ColReader(['metallicity']),
    splitter=RandomSplitter(0.2), item_tfms=[CropPad(144), RandomCrop(112)],
    batch_tfms=aug_transforms(max_zoom=1., flip_vert=True, max_lighting=0., max_warp=0.) + [Normalize])
dls = ImageDataLoaders.from_dblock(dblock, df, path=ROOT, bs=BS)
learn = Learner(dls, xresnet34(n_out=dls.c, sa=True, act_cls=MishCuda), opt_func=ranger, loss_func=root_mean_squared_error)
learn.lr_find(num_it=12, show_plot=False); learn.fit_one_cycle(1, 1e-2); preds, trues = learn.tta(n=1)
assert len(preds)==len(trues)==4 and torch.isfinite(preds).all()
table = predict_catalog(learn, df[['objID']], ROOT/'images', heads=target_spec(df, 'metallicity')) # and galfast's own on top of it
assert len(table)==20 and (table.status=='ok').all() and table.in_training.sum()==16 and table.metallicity_err.gt(0).all()
'''

def test_blog_runs_unchanged(tmp_path):
    sim_survey(tmp_path, 20, size=144)
    code = blog.replace('BS)', '8, num_workers=0)')
    r = subprocess.run([sys.executable, '-W', 'ignore', '-c', textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True)
    assert r.returncode==0, r.stderr[-2000:]
