__version__ = "0.3.0"

from . import _moved # noqa: F401 - before `__getattr__`, which would load everything to look for it

def __getattr__(name):
    "Load `galfast.all` at first use: a plain `import galfast` is light, `from galfast import *` has what users need"
    if name.startswith('__') and name!='__all__': raise AttributeError(name)
    mod = _everything()
    if name=='__all__': return [o for o in vars(mod) if not o.startswith('_')]
    try: return getattr(mod, name)
    except AttributeError: raise AttributeError(_whereabouts(name)) from None

def _everything():
    "`galfast.all`. What is imported stays, so that the collector would look through all of it again and again for nothing"
    import gc
    from importlib import import_module
    collects = gc.isenabled()
    gc.disable()
    try: return import_module('.all', __name__)
    finally:
        if collects: gc.enable()

def _whereabouts(name):
    "What is said where galfast gives no `name`: the module that has it, if there is one"
    import sys
    mods = [k for k,m in sys.modules.items() if k.startswith('galfast.') and name in getattr(m, '__all__', ())]
    said = f"module 'galfast' has no attribute {name!r}"
    return said + (f': it is {mods[0]}.{name}' if mods else '')
