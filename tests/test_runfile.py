"`run.toml`: what a command line means, what a run was made with, and doing it again"
import inspect,json,subprocess,sys,tomllib
from pathlib import Path

import numpy as np, pandas as pd, pytest, typer
from PIL import Image
from typer.testing import CliRunner

from galfast.base import jobs
from galfast.base.core import GalfastError
from galfast.base.explain import param_comments
from galfast.base.jobs import Asked,Recipe,TrainJob,train_options
from galfast.base.runfile import path_from,read_run_file,run_file_text
from galfast.cli import app
from galfast.images.reader import ImageReader
from galfast.sim.galaxies import sim_survey
from galfast.train import choose_recipe,plan_training,train_galaxies

comments = param_comments(Path(jobs.__file__).read_text())
tiny = ('--size', 24, '--epochs', 1, '--members', 2)

def galfast(*args, code=0):
    r = CliRunner().invoke(app, [str(o) for o in args])
    assert r.exit_code==code, (r.output, r.exception)
    return r.output

@pytest.fixture(scope='module')
def survey(tmp_path_factory):
    d = tmp_path_factory.mktemp('config')
    df = sim_survey(d/'data', 30, size=32, seed=3)
    rng = np.random.default_rng(0)
    df = df.assign(split=['train']*24+['test']*6, kind=np.where(df.redshift>df.redshift.median(), 'far', 'near'), r=rng.normal(size=30), e=.1)
    df.to_csv(d/'data/cat.csv', index=False)
    return d,df

def train(d, out, *more, target='metallicity'):
    return galfast('train', d/'data/cat.csv', '--images', d/'data/images', '--target', target, '--out', out, *more)

again = [tiny, ('--quick',), ('--quick', '--target', 'kind', '--test-col', 'split'), ('--members', 0),
         (*tiny, '--arch', 'xresnet9', '--test-col', 'split'), (*tiny, '--valid', .3, '--err', 'e', '--table', 'r'),
         (*tiny, '--target', 'kind', '--loss', 'focal', '--oversample', 'balanced', '--name', 'how far'), (*tiny, '--target', 'metallicity,kind', '--partial', '--no-folds', '--turn', 'p_rotate=.5', '--crop', 28)]

@pytest.mark.parametrize('more', again, ids=lambda o: ' '.join(map(str, o)))
def test_a_run_says_how_it_is_run_again(survey, tmp_path, more):
    "To the bit, from another folder, with nothing but its run.toml"
    d,_ = survey
    args = list(more)
    target = args.pop(args.index('--target')+1) if '--target' in args else 'metallicity'
    train(d, tmp_path/'a', *(o for o in args if o!='--target'), target=target)
    galfast('train', '--config', tmp_path/'a/run.toml', '--out', tmp_path/'b')
    for o in ('model.safetensors','predictions.csv'): assert (tmp_path/'a'/o).read_bytes()==(tmp_path/'b'/o).read_bytes()
    job = [json.loads((tmp_path/o/'config.json').read_text())['info']['job'] for o in 'ab']
    for o in job: o['recipe'].pop('why')
    assert job[0]==job[1]
    a,b = (read_run_file(tmp_path/o/'run.toml') for o in 'ab')
    same = lambda o: {k: v for k,v in o.items() if k not in ('catalog','images')}
    assert same(a)==same(b)

def test_a_run_of_votes_says_how_it_is_run_again(survey, tmp_path):
    "Its questions are those of its folder, whatever the file that had them"
    d,df = survey
    smooth = np.arange(len(df))%11
    df.assign(shape_smooth=smooth, shape_disk=10-smooth).to_csv(d/'data/votes.csv', index=False)
    (tmp_path/'q.toml').write_text('shape = ["smooth","disk"]')
    galfast('train', d/'data/votes.csv', '--images', d/'data/images', '--votes', tmp_path/'q.toml', '--out', tmp_path/'a', *tiny)
    (tmp_path/'q.toml').unlink()
    galfast('train', '--config', tmp_path/'a/run.toml', '--out', tmp_path/'b')
    assert (tmp_path/'a/model.safetensors').read_bytes()==(tmp_path/'b/model.safetensors').read_bytes()

def test_no_place_of_this_machine_is_told(survey):
    d,_ = survey
    train(d, d/'runs/r', '--quick')
    text = (d/'runs/r/run.toml').read_text()
    assert str(d) not in text and 'catalog = "../../data/cat.csv"' in text and 'images = "../../data/images"' in text

def test_paths_that_have_nothing_in_common_are_whole(tmp_path):
    assert path_from('/nowhere/at/all', tmp_path)=='/nowhere/at/all' and path_from(tmp_path/'a', tmp_path/'b/c')=='../../a'

def test_show_config_trains_nothing_and_is_what_a_run_writes(survey, tmp_path, monkeypatch):
    d,_ = survey
    monkeypatch.chdir(tmp_path)
    text = train(d, 'r', *tiny, '--show-config')
    assert not (tmp_path/'r').exists()
    said = tomllib.loads(text)
    assert set(said)=={'job','reader','recipe'} and said['recipe']['epochs']==1 and said['job']['target']==['metallicity']
    train(d, 'r', *tiny)
    assert tomllib.loads((tmp_path/'r/run.toml').read_text())['recipe']==said['recipe']
    (tmp_path/'saved.toml').write_text(text)
    galfast('train', '--config', 'saved.toml', '--out', 's')
    assert (tmp_path/'r/model.safetensors').read_bytes()==(tmp_path/'s/model.safetensors').read_bytes()

def shown(f, *args):
    f.parent.mkdir(exist_ok=True)
    return tomllib.loads(galfast('train', '--config', f, '--out', f.parent/'r', '--show-config', *args))

def test_what_is_typed_wins(survey, tmp_path, monkeypatch):
    d,_ = survey
    monkeypatch.chdir(tmp_path) # paths are as seen from here
    f = tmp_path/'run.toml'
    f.write_text(train(d, 'r', *tiny, '--valid', .3, '--show-config'))
    assert shown(f, '--epochs', 7)['recipe']|dict(epochs=1)==shown(f)['recipe'] and shown(f, '--epochs', 7)['recipe']['epochs']==7
    assert shown(f, '--quick')['recipe']==dict(quick=True) # a recipe of its own
    job = shown(f, '--valid-col', 'split')['job']
    assert job['valid_col']=='split' and 'valid' not in job and shown(f)['job']['valid']==.3
    f.write_text(train(d, 'r', '--quick', '--show-config'))
    assert shown(f)['recipe']==dict(quick=True) and shown(f, '--epochs', 7)['recipe']['epochs']==7
    assert shown(f, '--target', 'kind')['job']['target']==['kind']

wrong = [('[recipe]\nepoch = 3', "[recipe] has no 'epoch': did you mean epochs?"), ('[recipes]\nepochs = 3', "has no 'recipes': did you mean recipe?"),
         ('[job]\nepochs = 3', 'epochs belongs to [recipe]'), ('epochs = "many"', "Invalid value for '--epochs'"), ('epochs = 2.5', "Invalid value for '--epochs'"), ('epochs = ', 'no TOML'),
         ('[job]\nout = "x"', "[job] has no 'out'"), ('[reader]\ncrp = 3', 'did you mean crop?')]

@pytest.mark.parametrize('text,says', wrong)
def test_what_a_file_cannot_say(survey, tmp_path, text, says):
    (tmp_path/'run.toml').write_text(text)
    r = CliRunner().invoke(app, [str(o) for o in ('train', survey[0]/'data/cat.csv', '--images', survey[0]/'data/images', '--target', 'metallicity',
                                                  '--out', tmp_path/'r', '--config', tmp_path/'run.toml')])
    assert r.exit_code==2 and says in ' '.join(r.output.split()), r.output

def test_a_file_that_is_not_there(tmp_path): assert 'no such file' in galfast('train', '--config', tmp_path/'no.toml', '--out', tmp_path/'r', code=2)

@pytest.mark.parametrize('f,kw,says', [(train_galaxies, dict(epoch=3), "train_galaxies has no 'epoch': did you mean epochs?"), (train_galaxies, dict(oversampl=.5), 'did you mean oversample?'),
                                       (train_galaxies, dict(reader=dict(crp=3)), "ImageReader has no 'crp': did you mean crop?"), (train_galaxies, dict(overwrit=True), 'did you mean overwrite?')])
def test_a_misspelt_keyword(survey, tmp_path, f, kw, says):
    d,df = survey
    with pytest.raises(GalfastError) as e: f(df, d/'data/images', 'metallicity', tmp_path/'r', **kw)
    assert says in str(e.value) and not (tmp_path/'r').exists()

def test_a_misspelt_keyword_of_a_recipe():
    with pytest.raises(GalfastError, match="a recipe has no 'epoch': did you mean epochs"): choose_recipe(400, 'regression', epoch=3)

def test_what_was_given_in_python_is_written_or_named(survey, tmp_path):
    "A table in memory, rows and a stretch are no options; the file says so"
    from galfast.images.fits import MinMaxTfm
    d,df = survey
    train_galaxies(df, d/'data/images', 'metallicity', tmp_path/'r', valid=[1,2,3], quick=True, device='cpu')
    text = (tmp_path/'r/run.toml').read_text()
    assert '# catalog = # A table in memory' in text and '# valid = # Rows or a splitter' in text
    train_galaxies(d/'data/cat.csv', d/'data/images', 'metallicity', tmp_path/'s', quick=True, device='cpu')
    assert read_run_file(tmp_path/'s/run.toml')['quick'] is True and 'catalog' in read_run_file(tmp_path/'s/run.toml')
    from galfast.train import plan_text
    assert '# asinh = # MinMaxTfm, given in Python' in plan_text(plan_training(df, 'metallicity', reader=dict(stretch=MinMaxTfm())))

def test_every_value_of_toml_comes_back(tmp_path):
    asked = dict(catalog='/a "b"\\c\n\x7fé', target=['a,b', '12 + log'], err={'12 + "x"': 'e', 'a': 'é'}, epochs=3, lr=.1+.2, gp_weight=1e-300, pad=True, aligned=False, turn=dict(p_rotate=[1., .5]))
    (tmp_path/'run.toml').write_text(run_file_text(asked), encoding='utf-8')
    assert read_run_file(tmp_path/'run.toml')==asked

# what no option of the command asks for: `recipe` and `reader` are tables of their own; `why` is not the user's to say
beyond = dict(TrainJob={'reader','recipe'}, Recipe={'why'}, ImageReader={'kind'})
def params(): return {o.name: o for o in typer.main.get_command(app).commands['train'].params}

def test_every_field_is_within_reach_of_the_command():
    options = {o.field: k for t in train_options().values() for k,o in t.items() if o.field}
    options |= {k: k for t in train_options().values() for k in t if k not in options.values()}
    there = params()
    for cls,names in ((TrainJob, TrainJob.__dataclass_fields__), (Recipe, Recipe.__dataclass_fields__), (ImageReader, inspect.signature(ImageReader).parameters)):
        missing = {k for k in names if options.get(k) not in there}
        assert missing==beyond[cls.__name__], cls

def test_help_says_what_python_says():
    there = params()
    for cls in (Recipe,TrainJob,Asked):
        for k,v in comments[cls.__name__].items():
            name = {o.field or o.name: o.name for t in train_options().values() for o in t.values()}.get(k, k)
            if k in beyond.get(cls.__name__, ()) or k=='target' and cls is TrainJob: continue
            assert there[name].help.startswith(v.replace('`', '')), k

def test_images_of_a_file_a_band_and_all_of_the_reader(tmp_path):
    "What is asked of the reader is written as it is typed"
    rng = np.random.default_rng(0)
    (tmp_path/'im').mkdir()
    for i in range(4): Image.fromarray(rng.integers(0, 255, (30,30,3), dtype=np.uint8)).save(tmp_path/f'im/{i}.png')
    pd.DataFrame(dict(objID=range(4), z=[.1,.2,.3,.45])).to_csv(tmp_path/'c.csv', index=False)
    typed = ('--crop', 20, '--pad', '--bands', 'g,r', '--hdu', 1, '--nan', .5, '--pattern', '{objID}.fits', '--aligned', '--asinh', .3, '--any-size')
    said = tomllib.loads(galfast('train', tmp_path/'c.csv', '--images', tmp_path/'im', '--target', 'z', '--out', 'r', '--members', 0, '--show-config', *typed))
    assert said['reader']==dict(crop=20, pad=True, bands=['g','r'], hdu=1, nan=.5, pattern='{objID}.fits', aligned=True, asinh=.3, any_size=True)

def test_help_has_every_field():
    "`help(train_galaxies)` and completion in a notebook know all that may be asked for, and say it as the command does"
    code = "from galfast import *; import galfast.train; print(train_galaxies.__doc__); print(choose_recipe.__doc__)"
    told = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, check=True).stdout
    both = [inspect.signature(f).parameters for f in (train_galaxies,choose_recipe)]
    for cls,skip in ((TrainJob,{'target','recipe'}), (Recipe,{'why'})):
        for k,v in comments[cls.__name__].items():
            if k in skip: continue
            assert f'{k} : {v}' in told and k in both[0] and (cls is TrainJob or k in both[1]), k
    assert not any(o.kind==o.VAR_KEYWORD for p in both for o in p.values())
