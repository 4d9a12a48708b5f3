"What is there at once: mistakes before torch is loaded, with the nearest name; the first line; completion"
import os,subprocess,sys
from pathlib import Path

import pandas as pd, pytest
from PIL import Image

from galfast.base.jobs import arch_names

@pytest.fixture(scope='module')
def sky(tmp_path_factory):
    d = tmp_path_factory.mktemp('seconds')
    (d/'images').mkdir()
    for i in range(3): Image.new('RGB', (8,8), (i,9,99)).save(d/f'images/{i}.png')
    pd.DataFrame(dict(objID=range(3), metallicity=[.1,.2,.4], e=.1)).to_csv(d/'catalog.csv', index=False)
    (d/'run.toml').write_text('[recipe]\nepoch = 3\n')
    return d

code = """
import sys
from typer.testing import CliRunner
from galfast.cli import app
for line in sys.stdin.read().splitlines():
    args,word = line.split(' | ')
    r = CliRunner().invoke(app, args.split())
    assert r.exit_code==2 and word in ' '.join(r.output.split()), (args, r.output)
assert 'torch' not in sys.modules
"""

def test_the_nearest_name_is_told_before_torch_is_loaded(sky):
    train = f'train {sky}/catalog.csv --images {sky}/images --target metallicity --out {sky}/out'
    says = [(train.replace('metallicity', 'metalicity'), "no column 'metalicity'"), (train.replace('metallicity', 'metalicity'), "Did you mean 'metallicity'?"),
            (train+' --id objid', "Did you mean 'objID'?"), (train.replace('catalog', 'catalogue'), f'did you mean {sky}/catalog.csv?'),
            (train.replace('/images', '/image'), f'did you mean {sky}/images?'), (train+' --epoch 3', '--epochs'), (train+' --test-col spilt', "no column 'spilt'"),
            (train+f' --config {sky}/run.toml', 'did you mean epochs?'), (train+f' --config {sky}/rum.toml', f'did you mean {sky}/run.toml?'),
            (train+' --epochs 0', '--epochs'), (train+' --err z=e', "no column 'z=e'"), (train+' --task regresion', "'regresion'")]
    r = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], input='\n'.join(' | '.join(o) for o in says), capture_output=True, text=True)
    assert r.returncode==0, r.stderr

first = """
import sys
import galfast.cli as cli
from typer.testing import CliRunner
class Said(Exception): pass
def say(line):
    sys.__stdout__.write(f"{line} {'torch' in sys.modules}\\n")
    raise Said
cli._say = say
CliRunner().invoke(cli.app, sys.argv[1:])
"""

def test_the_first_line_comes_before_torch_does(sky):
    args = ['train', sky/'catalog.csv', '--images', sky/'images', '--target', 'metallicity', '--out', sky/'out']
    r = subprocess.run([sys.executable, '-W', 'ignore', '-c', first, *map(str, args)], capture_output=True, text=True)
    line = r.stdout.splitlines()[0]
    assert f'{sky}/catalog.csv: 3 rows; metallicity is learned' in line and line.endswith('False'), (r.stdout, r.stderr)

def complete(words):
    "What a shell is told when tab is pressed behind `words`"
    env = os.environ | dict(_GALFAST_COMPLETE='complete_bash', COMP_WORDS=words, COMP_CWORD=str(len(words.split(' '))-1))
    r = subprocess.run([Path(sys.executable).parent/'galfast'], env=env, capture_output=True, text=True)
    return r.stdout.split()

@pytest.mark.parametrize('words,there', [('galfast train c.csv --arch xresnet3', {'xresnet34'}), ('galfast cutouts c.csv --survey ls', {'ls-dr9','ls-dr10'}),
                                         ('galfast train c.csv --tas', {'--task'}), ('galfast train c.csv --task vo', {'votes'}), ('galfast train c.csv --loss one', {'one_vs_rest'}), ('galfast pre', {'predict'})])
def test_completion(words, there): assert set(complete(words))==there

def test_install_completion_is_there():
    r = subprocess.run([Path(sys.executable).parent/'galfast', '--help'], capture_output=True, text=True)
    assert '--install-completion' in r.stdout and '--version' in r.stdout

def test_completed_names_are_those_that_there_are():
    from galfast.networks.archs import galaxy_archs
    assert set(arch_names)==set(galaxy_archs)-{'multimodal'} # which is built around another where there is a table
    from galfast.data.heads import ClassHead,LabelHead,NumberHead,VoteHead
    from galfast.cli import _losses
    heads = NumberHead(['z'], mean=[0.], std=[1.]),ClassHead(['k'], classes=['a','b']),LabelHead(['a','b']),VoteHead(['a','b'])
    assert {k for o in heads for k in o.losses}==set(_losses())

def test_version():
    import galfast
    r = subprocess.run([Path(sys.executable).parent/'galfast', '--version'], capture_output=True, text=True)
    assert r.stdout==f'galfast {galfast.__version__}\n'
