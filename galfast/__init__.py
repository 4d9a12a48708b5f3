__version__ = "0.2.0"

def __getattr__(name):
    "Load `galfast.all` at first use, so that a plain `import galfast` is light and `from galfast import *` has everything"
    if name.startswith('__') and name!='__all__': raise AttributeError(name)
    from importlib import import_module
    mod = import_module('.all', __name__)
    if name=='__all__': return [o for o in vars(mod) if not o.startswith('_')]
    try: return getattr(mod, name)
    except AttributeError: raise AttributeError(f"module 'galfast' has no attribute {name!r}") from None
