"Comments beside parameters are what `help` says of them"
import importlib.util
from textwrap import dedent

from galfast.base.explain import explain,param_comments

source = '''
from fastcore.meta import delegates

def shift(
    x, y:float=0., # Where it is
    *more, # Others
    by:float=1., # How far, px
)->float: # px
    "Move it"
    def inner(a): # not this
        return a
    return x+by

@delegates(shift)
def far(
    x, # Where it begins
    **kwargs
): "Move it far"

class Star:
    "A star"
    mag:float # AB
    name:str='' # As in SIMBAD
    def __init__(self,
        mag, # brightness
    ): self.mag = mag
    def flux(self,
        zp:float=22.5, # Zero point
    ): return 10**(.4*(zp-self.mag))
'''

def test_comments_are_found():
    got = param_comments(dedent(source))
    assert got['shift']=={'x': 'Where it is', 'y': 'Where it is', 'more': 'Others', 'by': 'How far, px', 'return': 'px'}
    assert got['Star']=={'mag': 'AB', 'name': 'As in SIMBAD'} and got['Star.flux']=={'zp': 'Zero point'}

def module(tmp_path, name='stars'):
    (tmp_path/f'{name}.py').write_text(source)
    spec = importlib.util.spec_from_file_location(name, tmp_path/f'{name}.py')
    res = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(res)
    return res

def test_help_says_them(tmp_path):
    m = module(tmp_path)
    explain([m])
    assert m.shift.__doc__=='Move it\n\nParameters\n----------\nx, y : Where it is\nmore : Others\nby : How far, px\n\nReturns\n-------\npx'
    assert m.far.__doc__=='Move it far\n\nParameters\n----------\nx : Where it begins\ny : Where it is\nby : How far, px'
    assert 'zp : Zero point' in m.Star.flux.__doc__ and m.Star.__doc__.startswith('A star\n\nParameters')

def test_a_function_of_galfast():
    import galfast.all # noqa: F401, which explains all modules
    from galfast.base.core import first_few
    said = 'Parameters\n----------\nitems : Anything that can be listed\nn : How many to show'
    assert first_few.__doc__==f'The first `n` of `items`, and how many more there are\n\n{said}'

def test_methods_that_are_patched_in():
    source = 'class A: pass\n@patch\ndef f(self:A,\n    x, # Pixels\n): return x\n@patch(cls_method=True)\ndef g(cls:A,\n    y, # A name\n): return y\n'
    assert param_comments(source)==dict(A={})|{'A.f': dict(x='Pixels'), 'A.g': dict(y='A name')}
    from galfast import GalaxyRun
    assert 'as `reader` gives them' in GalaxyRun.answer.__doc__
