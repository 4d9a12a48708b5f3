"Every flag of `galfast train` changes what it says; a flag that is new and not tried here fails"
import tomllib

import numpy as np, pandas as pd, pytest, typer
from PIL import Image
from typer.testing import CliRunner

from galfast.cli import app

flags = [o for p in typer.main.get_command(app).commands['train'].params for o in (*p.opts, *p.secondary_opts)]

@pytest.fixture(scope='module')
def sky(tmp_path_factory):
    "Eight images of noise, and a table of all that may be asked for"
    d,rng = tmp_path_factory.mktemp('flags'),np.random.default_rng(0)
    for o in ('im','other'): (d/o).mkdir()
    for i in range(40): Image.fromarray(rng.integers(0, 255, (32,32,3), dtype=np.uint8)).save(d/f'im/{i}.png')
    Image.fromarray(rng.integers(0, 255, (32,32,3), dtype=np.uint8)).save(d/'other/0.png')
    df = pd.DataFrame(dict(objID=range(40), name=range(40), z=rng.normal(size=40), e=.1, m=rng.normal(size=40), kind=list('ab')*20, bar_yes=3, bar_no=range(40)))
    df['oh'] = df.m.where(df.m>df.m.min())
    df['split'] = ['train']*30+['valid']*6+['test']*4
    df.to_csv(d/'c.csv', index=False)
    df[:30].to_csv(d/'few.csv', index=False)
    (d/'epochs.toml').write_text('[recipe]\nepochs = 9\n'); (d/'no-folds.toml').write_text('folds = false\n')
    return d

def invoke(d, *more, catalog='c.csv', **kw):
    given = dict(images='@/im', target='z', out='@/run')|kw
    args = ['train', f'@/{catalog}', *(o for k,v in given.items() for o in (f'--{k}', v)), *more]
    return CliRunner().invoke(app, [str(o).replace('@', str(d)) for o in args])

def config(d, *more, **kw):
    "What a command line means"
    r = invoke(d, '--show-config', *more, **kw)
    assert r.exit_code==0, (r.output, r.exception)
    return tomllib.loads(r.stdout)

two = dict(target='z,m') # two numbers
word = dict(target='kind') # classes
# flag -> what is typed, where the file has it, what it says then; and what is given in either case
of_config = {
    '--epochs': ([3], 'recipe.epochs', 3), '--arch': (['xresnet9'], 'recipe.arch', 'xresnet9'), '--size': ([24], 'recipe.size', 24),
    '--keep': ([30], 'recipe.keep', 30), '--window': ([20], 'recipe.window', 20), '--lr': ([.1], 'recipe.lr', .1), '--bs': ([4], 'recipe.bs', 4),
    '--wd': ([.2], 'recipe.wd', .2), '--opt': (['ranger'], 'recipe.opt', 'ranger'), '--warmup': ([.5], 'recipe.warmup', .5),
    '--smooth': ([.3], 'recipe.smooth', .3, word), '--turn': (['p_rotate=.5'], 'recipe.turn', dict(p_rotate=.5)), '--members': ([2], 'recipe.members', 2),
    '--folds': ([], 'recipe.folds', True, dict(config='@/no-folds.toml')), '--no-folds': ([], 'recipe.folds', False), '--gp-weight': ([.25], 'recipe.gp_weight', .25),
    '--fast': ([], 'recipe.fast', True), '--no-fast': ([], 'recipe.fast', False), '--compile': ([], 'recipe.compile', True),
    '--pretrained': (['timm'], 'recipe.pretrained', 'timm'), '--loss': (['rmse'], 'recipe.loss', 'rmse'), '--oversample': (['balanced'], 'recipe.oversample', 'balanced', word),
    '--quick': ([], 'recipe.quick', True),
    '--crop': ([20], 'reader.crop', 20), '--bands': (['gr'], 'reader.bands', 'gr'), '--hdu': ([1], 'reader.hdu', 1), '--nan': (['median'], 'reader.nan', 'median'),
    '--pattern': (['{objID}.png'], 'reader.pattern', '{objID}.png'), '--pad': ([], 'reader.pad', True, dict(crop=20)), '--aligned': ([], 'reader.aligned', True),
    '--asinh': ([.5], 'reader.asinh', .5), '--any-size': ([], 'reader.any_size', True),
    '--task': (['mixed'], 'job.task', 'mixed', two), '--id': (['name'], 'job.id', 'name'), '--valid': ([.25], 'job.valid', .25),
    '--valid-col': (['split'], 'job.valid_col', 'split'), '--test-col': (['split'], 'job.test_col', 'split'), '--seed': ([7], 'job.seed', 7),
    '--on-error': (['skip'], 'job.on_error', 'skip'), '--table': (['m'], 'job.table', ['m']), '--err': (['z=e'], 'job.err', dict(z='e')),
    '--votes': (['bar_yes,bar_no'], 'job.votes', 'bar_yes,bar_no'), '--partial': ([], 'job.partial', True, dict(target='z,oh')), '--target': (['m'], 'job.target', ['m']), '--name': (['redshift'], 'job.name', dict(z='redshift')),
    '--unit': (['dex'], 'job.unit', dict(z='dex')), '--config': (['@/epochs.toml'], 'recipe.epochs', 9)}

def at(said, where):
    table,key = where.split('.')
    return said[table].get(key)

@pytest.mark.parametrize('flag', of_config)
def test_a_flag_is_in_what_a_command_means(sky, flag):
    typed,where,says,*given = of_config[flag]
    given = given[0] if given else {}
    with_it = given|dict(target=typed[0]) if flag=='--target' else given
    said = config(sky, *([] if flag=='--target' else [flag, *typed]), **with_it)
    assert at(said, where)==says and at(config(sky, **given), where)!=says

@pytest.mark.parametrize('flag,name', [('--members','members'), ('--gp-weight','gp_weight'), ('--wd','wd'), ('--warmup','warmup')])
def test_zero_is_said(sky, flag, name): assert config(sky, flag, 0)['recipe'][name]==0

def test_texts_of_several_targets_in_one(sky):
    "`a=x,b=y` says what two flags say; other commas are of the text"
    both = dict(target='z,oh')
    said = config(sky, '--err', 'z=e,oh=e', '--name', 'oh=12 + log(O/H), or so,z=redshift', **both)['job']
    assert (said['err'], said['name'])==(dict(z='e', oh='e'), dict(z='redshift', oh='12 + log(O/H), or so'))
    assert config(sky, '--err', 'z=e', '--err', 'oh=e', **both)['job']['err']==said['err']

def test_images_are_named(sky):
    assert config(sky, images='@/other')['job']['images']!=config(sky)['job']['images']
    assert config(sky, catalog='few.csv')['job']['catalog']!=config(sky)['job']['catalog']
    assert config(sky, catalog='few.csv')['recipe']['bs']==8

quick = ('--quick',)

@pytest.fixture(scope='module')
def done(sky):
    r = invoke(sky, *quick, '--device', 'cpu', out='@/done')
    assert r.exit_code==0, (r.output, r.exception)
    return r

def test_out_is_where_the_run_is(sky, done): assert (sky/'done/config.json').exists() and f'{sky}/done' in done.stdout

def test_show_config_trains_nothing(sky):
    assert invoke(sky, *quick, '--show-config', out='@/shown').stdout.startswith('# galfast train') and not (sky/'shown').exists()

def test_device(sky, done):
    assert ' s on cpu' in done.stdout
    r = invoke(sky, *quick, '--device', 'cuda:7')
    assert r.exit_code==2 and "device 'cuda:7' is not at hand" in r.output # unlike cpu

def test_resume_and_overwrite(sky, done):
    "The first says what is there; the second makes it anew, with what is asked for now"
    r = invoke(sky, *quick, out='@/done')
    assert r.exit_code==2 and '--overwrite' in r.output
    before = (sky/'done/config.json').stat().st_mtime_ns
    r = invoke(sky, *quick, '--resume', out='@/done')
    assert r.exit_code==0 and (sky/'done/config.json').stat().st_mtime_ns==before
    r = invoke(sky, *quick, '--overwrite', '--seed', 3, out='@/done')
    assert r.exit_code==0 and '"seed": 3' in (sky/'done/config.json').read_text()

apart = {'--images', '--out', '--show-config', '--device', '--resume', '--overwrite', '--catalog', 'catalog', '--help'} # tried one by one above

def test_every_flag_is_tried(): assert {o for o in flags if o not in apart}==set(of_config)
