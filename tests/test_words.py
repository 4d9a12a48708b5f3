"What is printed: text is text, ways out are in the caller's words, and a fault is a sentence"
import ast,re,shlex,subprocess,sys
from pathlib import Path

import pytest

from galfast.base.core import GalfastError,option
from galfast import cli

root = Path(__file__).parent.parent
modules = [p for p in sorted((root/'galfast').rglob('*.py')) if p.stem[0]!='_']

def texts(tree):
    "Texts of a module that are no docstrings, with the line they are in"
    docs = {id(o.body[0].value) for o in ast.walk(tree) if isinstance(o, (ast.Module,ast.FunctionDef,ast.ClassDef)) and o.body and isinstance(o.body[0], ast.Expr)}
    return [(o.value, o.lineno) for o in ast.walk(tree) if isinstance(o, ast.Constant) and isinstance(o.value, str) and id(o) not in docs]

@pytest.mark.parametrize('p', [p for p in modules if p.stem not in ('cli','core')], ids=lambda p: p.stem)
def test_no_option_of_the_command_is_told_to_python(p):
    found = [(n, s) for s,n in texts(ast.parse(p.read_text())) if re.search(r'(^|[\s(`])--[a-z][a-z-]+', s) and not re.search(r'galfast \w+ --', s)]
    assert not found, f"{p.name}: say it with option(...): {found}"

@pytest.mark.parametrize('p', modules, ids=lambda p: p.stem)
def test_rich_gets_no_markup_from_users(p):
    "All that rich prints goes through one function, which takes text as it is"
    for o in ast.walk(ast.parse(p.read_text())):
        if not isinstance(o, ast.Call): continue
        name = getattr(o.func, 'id', getattr(o.func, 'attr', ''))
        given = {k.arg: getattr(k.value, 'value', None) for k in o.keywords}
        if name=='Console' and 'file' not in given: assert given.get('markup') is False and given.get('emoji') is False, f'{p.name}:{o.lineno}'
        if name=='TextColumn': assert given.get('markup') is False, f'{p.name}:{o.lineno}'
        if name=='echo': assert getattr(o.func.value, 'id', '')=='typer'

def test_brackets_and_colons_are_printed(capsys):
    cli._print('L [/Lsun] and logM [dex] :smile: [bold]', '[/]')
    cli._table('logM [dex]: 30 galaxies', [('[red]', '[/x]')], 'a [b]', '[/c]')
    out = capsys.readouterr().out
    for o in ('L [/Lsun] and logM [dex] :smile: [bold]', '[/]', 'logM [dex]: 30 galaxies', '[red]', '[/x]', 'a [b]', '[/c]'): assert o in out

@pytest.mark.parametrize('name,value,python,typed', [('on_error', 'skip', "on_error='skip'", '--on-error skip'), ('native', 'any', "native='any'", '--any-size'), ('pad', True, 'pad=True', '--pad'),
    ('fast', False, 'fast=False', '--no-fast'), ('id_col', None, 'id_col', '--id'), ('id_col', 'my id', "id_col='my id'", "--id 'my id'"), ('bands', ['g','r'], "bands=['g', 'r']", '--bands g,r'),
    ('with_training', True, 'with_training=True', '--with-training'), ('pattern', '{objID}_{band}.fits', "pattern='{objID}_{band}.fits'", "--pattern '{objID}_{band}.fits'")])
def test_each_caller_is_told_in_his_words(name, value, python, typed):
    e = GalfastError(f'take {option(name, value)}')
    assert str(e)==f'take {python}' and e.typed==f'take {typed}'

def test_ctrl_c_says_the_whole_command(monkeypatch):
    argv = ['galfast', 'train', 'my table.csv', '--images', 'a b', '--overwrite', '--out', 'run']
    monkeypatch.setattr(sys, 'argv', argv)
    said = cli._goes_on('train').split(': ', 1)[1]
    assert shlex.split(said)==['galfast', *[o for o in argv[1:] if o!='--overwrite'], '--resume']
    assert shlex.split(cli._goes_on('predict').split(': ', 1)[1])==argv

def invoke(*args):
    from typer.testing import CliRunner
    return CliRunner().invoke(cli.app, [str(o) for o in args])

def test_the_last_net(tmp_path, monkeypatch):
    import galfast.base.tables
    (tmp_path/'run').mkdir(); (tmp_path/'run/checkpoint').mkdir(); (tmp_path/'run/checkpoint/network0.safetensors').write_text('')
    def boom(*args, **kwargs): raise RuntimeError('unforeseen [/red]\nsecond line')
    monkeypatch.setattr(galfast.base.tables, 'read_catalog', boom)
    r = invoke('train', 'c.csv', '--images', tmp_path, '--target', 'z', '--out', tmp_path/'run', '--resume')
    file = Path(re.search(r'The traceback is in (\S+):', r.output)[1])
    assert r.exit_code==1 and 'unforeseen [/red]' in r.output and 'Traceback' not in r.output and '--resume' in r.output
    assert file.parent==tmp_path/'run' and 'Traceback' in file.read_text() and 'boom' in file.read_text()

def test_what_was_predicted_before_a_fault_is_kept(tmp_path):
    import pandas as pd
    def chunks():
        yield pd.DataFrame({'objID': ['1'], 'z_pred': [.1], 'status': ['ok']})
        raise RuntimeError('later')
    for suf in ('.csv', '.parquet', '.fits'):
        with pytest.raises(RuntimeError): cli._write_chunks(tmp_path/f'p{suf}', chunks(), 9)
        assert not (tmp_path/f'p{suf}').exists() and (tmp_path/f'partial-p{suf}').exists()
    assert len(list(tmp_path.iterdir()))==3

light = """
import sys,time
from pathlib import Path
from typer.testing import CliRunner
from galfast.cli import app
d = Path(sys.argv[1])
for args,word in {calls}:
    r = CliRunner().invoke(app, [a.replace('@', str(d)) for a in args.split()])
    assert r.exit_code==2 and word in r.output, (args, r.exit_code, r.output)
assert CliRunner().invoke(app, ['--version']).exit_code==0
assert 'torch' not in sys.modules
"""

def test_mistakes_are_found_before_torch_is_loaded(tmp_path):
    from PIL import Image
    (tmp_path/'c.csv').write_text('objID,z\n1,.1\n2,.2\n3,.5\n')
    (tmp_path/'im').mkdir(); (tmp_path/'none').mkdir()
    Image.new('RGB', (8,8)).save(tmp_path/'im/1.png')
    (tmp_path/'run').mkdir(); (tmp_path/'run/config.json').write_text('{"id_col": "objID", "reader": {"kind": "fits"}, "spec": {"targets": ["z"], "classes": null}}')
    (tmp_path/'p.csv').write_text('objID,z_pred\n1,.1\n')
    train,pred,ev = 'train @/c.csv --images @/im --target z --out @/new',  'predict @/run @/c.csv --images @/im --out @/new.csv', 'evaluate @/p.csv @/c.csv --target z'
    calls = [(train.replace('c.csv', 'no.csv'), 'no such file'), (train.replace('target z', 'target mass'), "no column 'mass'"), (train+' --valid-col split', "no column 'split'"), (train+' --valid 3', 'between 0 and 1'),
             (train+' --id name', "no column 'name'"), (train.replace('/im', '/never'), 'no such folder'), (train.replace('/im', '/none'), 'no image'), (train.replace('@/new', '@/run'), '--overwrite'),
             (train.replace('@/new', '@/c.csv'), 'is a file'), (train+' --task ranking', "'ranking'"), (train+' --on-error never', "'never'"), (train+' --device quantum', 'not at hand'), (train+' --pad', '--crop'),
             (pred.replace('@/run', '@/none'), 'config.json'), (pred.replace('new.csv', 'new.doc'), "'.doc'"), (pred.replace('new.csv', 'p.csv'), '--overwrite'), (pred.replace('c.csv', 'no.csv'), 'no such file'),
             (pred.replace('@/im', '@/none'), 'no image'), (pred, 'learned from FITS'), (pred.replace('@/new.csv', '@/c.csv/x.csv'), 'is a file'),
             (ev+' --out @/c.csv', '--overwrite'), (ev+'2', "no column 'z2'"), (ev.replace('p.csv', 'c.csv'), "no column 'z_pred'"), (ev+' --out @/m.doc', "'.doc'"),
             ('pack @/no.csv --images @/im', 'no such file'), ('pack @/c.csv --images @/never', 'no such folder'), ('query metallicity --out @/c.csv', '--overwrite')]
    r = subprocess.run([sys.executable, '-W', 'ignore', '-c', light.format(calls=calls), tmp_path], capture_output=True, text=True)
    assert r.returncode==0, r.stderr

def test_star_import_prints_nothing_and_help_says_what_parameters_mean():
    code = "from galfast import *; import galfast.train; print(train_galaxies.__doc__); print(galaxy_learner.__doc__); print(GalaxyDataLoaders.from_csv.__doc__)"
    r = subprocess.run([sys.executable, '-W', 'default', '-c', code], capture_output=True, text=True)
    assert r.returncode==0 and not r.stderr.strip(), r.stderr
    for o in ('images : Folder of images', 'arch : A name in `galaxy_archs`', 'Parameters\n', "on_error : 'raise'"): assert o in r.stdout
