"What a notebook cannot see of its own package: lone imports, layers, stale exports, shadowed names, start-up"
import ast,importlib,json,re,subprocess,symtable,sys
from pathlib import Path

import pytest

root = Path(__file__).parent.parent
pkg = root/'galfast'
floors = 'base sim surveys images networks data training results'.split() # from the ground up; then what is in none

def name_of(p): return '.'.join(p.relative_to(pkg).with_suffix('').parts)
def floor_of(m): return m.split('.')[0] if '.' in m else ''
def height(m): return floors.index(floor_of(m)) if '.' in m else len(floors)

pys = sorted(p for p in pkg.rglob('*.py') if p.stem[0]!='_')
nbs = {re.search(r'default_exp ([\w.]+)', p.read_text())[1]: p for p in sorted((root/'nbs').rglob('[0-9]*.ipynb')) if p.parent.name!='tutorials'}
order = sorted(nbs, key=lambda m: (height(m), nbs[m].name)) # on a floor, notebooks are numbered in order of dependence
light = {'imports', 'cli', 'data.metrics', 'results.plot'} # must do without torch, as must all that is below images
light |= {f'images.{o}' for o in 'decoder fitsfile bands wcs'.split()} | {m for m in order if height(m)<floors.index('images')}

def parent_of(p, level):
    "The package that `level` dots mean in module `p`"
    return p.parents[level-1].relative_to(pkg).parts

def deps(p):
    "Modules of galfast that module `p` imports"
    froms = [o for o in ast.walk(ast.parse(p.read_text())) if isinstance(o, ast.ImportFrom) and o.level and o.module]
    return {'.'.join([*parent_of(p, o.level), o.module]) for o in froms}

def run(code): return subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True, cwd=root, capture_output=True, text=True).stdout.strip()

lone = """
import importlib,os,sys,traceback
{first}
for m in {mods}:
    if os.fork()==0: # each module in a process of its own, in which none of the others was imported
        try: importlib.import_module(f'galfast.{{m}}'); assert {heavy} or 'torch' not in sys.modules, f'{{m}} imports torch'
        except BaseException: traceback.print_exc(); os._exit(1)
        os._exit(0)
    if os.wait()[1]: sys.exit(m)
"""

@pytest.mark.parametrize('heavy', [False, True])
def test_each_module_imports_alone(heavy):
    mods = [name_of(p) for p in pys if (name_of(p) not in light)==heavy]
    run(lone.format(first='import fastai.vision.all' if heavy else '', mods=mods, heavy=heavy))

@pytest.mark.parametrize('p', [p for p in pys if name_of(p) in nbs], ids=name_of)
def test_imports_only_below(p):
    m = name_of(p)
    if m=='cli': return # it imports what a command needs when it runs
    for d in deps(p)-{'imports'}: assert order.index(d)<order.index(m), f'{m} imports {d}, which comes after it'

@pytest.mark.parametrize('m,p', nbs.items(), ids=list(nbs))
def test_notebook_lies_on_the_floor_of_its_module(m, p):
    assert p.parent.name==(floor_of(m) or 'nbs') and p.stem.split('_', 1)[1]==m.split('.')[-1]

def test_no_name_is_that_of_a_floor():
    "`from galfast import *` would give the package in its place"
    import galfast.all
    assert not {*floors, 'cli', 'train'} & {*vars(galfast.all)}

@pytest.mark.parametrize('p', [p for p in pys if height(name_of(p))>floors.index('surveys')], ids=name_of)
def test_no_network_above_the_surveys(p):
    names = {o.name for o in ast.walk(ast.parse(p.read_text())) if isinstance(o, ast.alias)}
    assert not {'requests', 'socket', 'urllib.request', 'http.client'} & names

def exports(m):
    "`__all__` of a module, read and not run"
    code = ast.parse((pkg/f"{m.replace('.','/')}.py").read_text())
    got = [o.value for o in code.body if isinstance(o, ast.Assign) and ast.unparse(o.targets[0])=='__all__']
    return set(ast.literal_eval(got[0]))

def needs(table):
    "Names that a scope and those in it look up outside of functions' own names"
    own = table.get_type()=='module'
    for o in table.get_symbols():
        if o.is_referenced() and (own or o.is_global()): yield o.get_name()
    for o in table.get_children(): yield from needs(o)

def test_no_name_is_missing():
    "What a module uses is there without what the others happen to import: star imports hide a missing name from the linter"
    import builtins
    for p in pys:
        known = {*vars(builtins), *vars(importlib.import_module(f'galfast.{name_of(p)}'))}
        used = set(needs(symtable.symtable(p.read_text(), p.name, 'exec')))
        assert used<=known, f'{p.stem}: {used-known}'

def unused_stars(code, star=r'galfast\.([\w.]+)'):
    "Modules of galfast of which `code` imports all names and uses none"
    mods = re.findall(rf'^from {star} import \*', code, re.M)
    names = set(needs(symtable.symtable(code, 'code', 'exec')))
    return [m for m in mods if m!='imports' and not exports(m)&names]

def test_unused_stars():
    code = ''.join(f'from galfast.base.{o} import *\n' for o in ('core','find','files'))
    assert unused_stars(code+'tell("a")\ndef f(kind_of): return kind_of')==['base.find','base.files']
    assert unused_stars(code+'def f(x:"str", y=tell): return [kind_of(o) for o in list_images(x)]')==[]

@pytest.mark.parametrize('p', [p for p in pys if p.stem!='all'], ids=name_of)
def test_no_star_import_is_unused(p):
    whole = lambda m: 'from galfast.'+'.'.join([*parent_of(p, len(m[1])), m[2]])
    unused = unused_stars(re.sub(r'^from (\.+)([\w.]+)', whole, p.read_text(), flags=re.M))
    assert unused==[]

def code_of(nb):
    "The code of a notebook, without what is no Python"
    cells = [''.join(c['source']) for c in json.loads(nb.read_text())['cells'] if c['cell_type']=='code']
    return '\n'.join(re.sub(r'^\s*[%!].*', '', o, flags=re.M) for o in cells)

@pytest.mark.parametrize('p', [*nbs.values()], ids=lambda p: p.stem)
def test_no_star_import_of_a_notebook_is_unused(p):
    unused = unused_stars(code_of(p))
    assert unused==[]

@pytest.mark.parametrize('p', pys, ids=name_of)
def test_source_notebook_exists(p):
    m = re.search(r'File to edit: (\S+\.ipynb)', p.read_text())
    assert m is None or (p.parent/m[1]).exists()

def test_no_module_is_built_on_one_data_set(): assert [name_of(p) for p in pys if 'surveys.galaxy10' in deps(p)]==['all']

def test_files_are_hashed_in_one_place(): assert [name_of(p) for p in pys if 'hexdigest' in p.read_text()]==['base.files']

# Modules of which users of `from galfast import *` need nothing
inner = {f'base.{o}' for o in 'files hdus unpack labels deadline configs runfile'.split()} | {f'images.{o}' for o in 'decoder bands wcs'.split()} | {'cli', 'networks.encoders', 'results.folder'}

def test_all_names_every_module():
    assert not inner-set(order)
    assert deps(root/'galfast/all.py')==set(order)-inner|{'imports'}

def from_star():
    "Names of galfast that `from galfast import *` gives"
    import galfast.all
    return set(vars(galfast.all)) & {o for m in order for o in exports(m)}

def test_star_gives_few_names(): assert len(from_star())<=200, 'what few users need is imported from its module'

def test_star_gives_nothing_private():
    import galfast
    assert {*from_star()} <= {*galfast.__all__} and not [o for o in galfast.__all__ if o[0]=='_']

def told():
    "Code that users read: README, CONTRIBUTING and the tutorials, by name"
    for o in ('README','CONTRIBUTING'): yield o, '\n'.join(re.findall(r'```python\n(.*?)```', (root/f'{o}.md').read_text(), re.S))
    for p in sorted((root/'nbs'/'tutorials').glob('*.ipynb')): yield p.stem, code_of(p)

@pytest.mark.parametrize('name,code', [pytest.param(*o, id=o[0]) for o in told()])
def test_star_gives_what_users_are_told(name, code):
    import builtins,galfast.all
    table = symtable.symtable(code, name, 'exec')
    own = {o.get_name() for o in table.get_symbols() if o.is_assigned() or o.is_imported()}
    used = {o for o in needs(table) if o[0]!='_'} # a survey is written in its own notebook
    assert used <= own | {*vars(builtins), *vars(galfast.all)}

def test_fixed_names_are_given():
    "Those of the code that galfast is built to reproduce, and those that stay"
    fixed = 'FITSImage FITSImageBlock GalaxyDataLoaders galaxy_datablock galaxy_xresnet galaxy_learner rmse_loss '\
            'predict_catalog SkyServer download_cutouts MishCuda root_mean_squared_error'
    assert set(fixed.split()) <= from_star()

def test_no_name_of_fastai_is_shadowed():
    import fastai.vision.all as fv
    for m in order: assert not set(importlib.import_module(f'galfast.{m}').__all__) & set(vars(fv)), m

def test_no_name_is_exported_twice():
    "`from galfast.all import *` would give one of them, and a module that imports both the other perhaps"
    names = [o for m in order for o in importlib.import_module(f'galfast.{m}').__all__]
    assert not {o for o in names if names.count(o)>1}

def test_modules_of_0_2_are_found_under_their_old_names():
    "The same module, once, with a warning that says where it is; other names are not found"
    from galfast._moved import moved
    assert set(moved.values())<={f'galfast.{m}' for m in order} and not set(moved)&{*floors, 'train', 'cli', 'all', 'imports'}
    for old,new in moved.items():
        sys.modules.pop(f'galfast.{old}', None)
        with pytest.warns(DeprecationWarning, match=f'galfast.{old} is {new} since'): module = importlib.import_module(f'galfast.{old}')
        assert module is importlib.import_module(new) and module.__spec__.name==new==module.__name__
    with pytest.raises(ModuleNotFoundError): importlib.import_module('galfast.nowhere')
    from galfast.sim import sim_stamps,sim_survey # names of a module that is a package now
    assert sim_survey.__module__=='galfast.sim.galaxies' and sim_stamps.__module__=='galfast.sim.sets'

def test_plain_import_is_light():
    t = run("import time; t=time.perf_counter(); import galfast,sys; d=time.perf_counter()-t; assert 'torch' not in sys.modules and 'pandas' not in sys.modules; print(d)")
    assert float(t)<.1

def test_help_loads_nothing_heavy():
    assert run("import sys; from galfast.cli import app; print({'torch','pandas','numpy','fastai'} & set(sys.modules))")=='set()'

def test_star_gives_what_users_need():
    names = "galaxy_learner FITSImage FITSImageBlock GalaxyDataLoaders galaxy_datablock galaxy_xresnet rmse_loss root_mean_squared_error predict_catalog "\
            "MishCuda xresnet34 ranger ImageBlock RegressionBlock ColReader DataBlock CropPad RandomCrop aug_transforms Normalize Learner ImageDataLoaders pd np torch nn F Path"
    run(f"from galfast import *\nfor o in '{names}'.split(): assert o in globals(), o")

def test_unknown_name_is_an_attribute_error():
    import galfast
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'$"): galfast.no_such_name # noqa: B018
    with pytest.raises(AttributeError, match='it is galfast.base.files.sha256_of$'): galfast.sha256_of # noqa: B018
    assert not hasattr(galfast, 'sha256_of')

def test_project_needs_no_network_to_describe_itself():
    text = (root/'pyproject.toml').read_text()
    assert 'galfast.cli:main' in text and 'galfast._modidx:d' in text

@pytest.mark.parametrize('p', sorted((root/'nbs').rglob('*.ipynb')), ids=lambda p: p.stem)
def test_saved_outputs_are_fit_to_be_kept(p):
    from tidy_outputs import check
    assert not check(json.loads(p.read_text())), 'run `make outputs`'

def shown(c):
    "Is `c` a code cell that readers see?"
    return c['cell_type']=='code' and not any(o.startswith('#| hide') for o in ''.join(c['source']).splitlines())

@pytest.mark.parametrize('p', sorted((root/'nbs'/'tutorials').glob('*.ipynb')), ids=lambda p: p.stem)
def test_tutorials_fit_a_page(p):
    "Longer lines of code run off the page"
    lines = [o for c in json.loads(p.read_text())['cells'] if shown(c) for o in ''.join(c['source']).splitlines()]
    assert not [o for o in lines if len(o)>88]

@pytest.mark.parametrize('p', sorted((root/'nbs').rglob('*.ipynb')), ids=lambda p: p.stem)
def test_notebooks_are_not_heavy(p): assert p.stat().st_size<700_000, 'fewer or smaller pictures'

def test_star_import_says_nothing():
    o = subprocess.run([sys.executable, '-W', 'default', '-c', 'from galfast import *'], check=True, cwd=root, capture_output=True, text=True)
    assert (o.stdout,o.stderr)==('','')

def at_import(tree):
    "Calls that run when a module is imported, but for those within `warnings.catch_warnings()`"
    for o in ast.iter_child_nodes(tree):
        if isinstance(o, (ast.FunctionDef,ast.AsyncFunctionDef,ast.Lambda)): continue
        if isinstance(o, ast.With) and any('catch_warnings' in ast.unparse(i) for i in o.items): continue
        if isinstance(o, ast.Call): yield ast.unparse(o.func)
        yield from at_import(o)

def test_at_import():
    code = """
import warnings
if True: warnings.filterwarnings('ignore')
with warnings.catch_warnings(): warnings.simplefilter('ignore')
class A: print('a')
def f(): print('b')
"""
    assert list(at_import(ast.parse(code)))==['warnings.filterwarnings','print']

@pytest.mark.parametrize('p', pys, ids=name_of)
def test_import_prints_nothing_and_sets_no_filters(p):
    calls = [o.split('.')[-1] for o in at_import(ast.parse(p.read_text()))]
    assert not {'print','filterwarnings','simplefilter','resetwarnings'} & set(calls)

kinds = {'regression', 'classification', 'multilabel', 'votes'} # what users call the kinds of targets

def compared(tree):
    "Lines that compare something with the name of a kind of target"
    for o in ast.walk(tree):
        if isinstance(o, ast.Compare) and {getattr(c, 'value', None) for c in ast.walk(o) if isinstance(c, ast.Constant)} & kinds: yield o.lineno

def test_compared():
    code = "a = task=='votes'\nb = x in ('regression', 'auto')\nc = dict(votes=1)['votes']\nd = n==3"
    assert list(compared(ast.parse(code)))==[1,2]

@pytest.mark.parametrize('p', [p for p in pys if name_of(p) not in ('data.heads','data.targets')], ids=name_of)
def test_no_module_asks_for_the_kind_of_a_target(p):
    "A `TargetHead` answers for its kind, so that a new kind is one class"
    assert not list(compared(ast.parse(p.read_text()))), 'ask the head'

def long_lines(p):
    "Lines of a module of more than 120 letters, but for those of `__all__`, which nbdev wraps"
    code = p.read_text()
    made = [o for o in ast.parse(code).body if isinstance(o, ast.Assign) and ast.unparse(o.targets[0])=='__all__']
    wrapped = {n for o in made for n in range(o.lineno, o.end_lineno+1)}
    return [n for n,o in enumerate(code.splitlines(), 1) if len(o)>120 and n not in wrapped]

@pytest.mark.parametrize('p', pys, ids=name_of)
def test_lines_are_short(p):
    n = long_lines(p)
    assert not n, f'name what is meant, in a step of its own: lines {n}'

def exported_cells(nb):
    "The lines of each cell that a module is made of"
    cells = [''.join(c['source']).splitlines() for c in json.loads(nb.read_text())['cells'] if c['cell_type']=='code']
    return [o for o in cells if any(l.startswith('#| export') for l in o)]

# Module -> how many cells have more than 40 lines, most of them a class. These numbers may only shrink
larger = {'train': 1, 'cli': 2, 'base.pickles': 1, 'base.labelled': 1, 'base.questions': 2, 'data.heads': 2,
          'data.votes': 1, 'data.targets': 1, 'data.rare': 1, 'data.loaders': 1, 'images.fits': 1,
          'images.augment': 1, 'images.reader': 1, 'images.pack': 2, 'networks.archs': 1, 'surveys.net': 2,
          'surveys.skyserver': 1, 'surveys.cutouts': 2, 'training.members': 1}

@pytest.mark.parametrize('m,p', nbs.items(), ids=list(nbs))
def test_cells_are_short(m, p):
    large = [o[:3] for o in exported_cells(p) if len(o)>40]
    assert len(large)<=larger.get(m, 0), f'one idea a cell: {large}'

@pytest.mark.parametrize('m', order)
def test_each_module_has_its_tests(m):
    named = {o.stem for o in (root/'tests').rglob('test_*.py')}
    assert f"test_{m.split('.')[-1]}" in named
