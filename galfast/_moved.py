"Modules of galfast 0.2 are found under their old names, with a warning that says where they are now"
import sys

_floors = dict( # Floor -> its modules, 'old:new' where the name is another
    base='core files hdus unpack schema explain tables find labels deadline arrays pickles pictures labelled',
    surveys='survey:records net download skyserver cutouts webimages galaxy10',
    sim='simsets:sets',
    images='decoder fitsfile bands wcs image:fits augment reader pack photometry',
    networks='models:xresnets classic archs',
    data='losses metrics heads targets columns rare',
    training='fast learner gp run',
    results='predict interpret plot',
)
_pairs = [(floor, o.partition(':')) for floor,names in _floors.items() for o in names.split()]
moved = {old: f'galfast.{floor}.{new or old}' for floor,(old,_,new) in _pairs}

class Moved:
    "Finds `galfast.core` as `galfast.base.core`"
    def find_spec(self, name, path=None, target=None):
        package,_,old = name.rpartition('.')
        if package=='galfast' and old in moved: return type(__spec__)(name, self)
    def create_module(self, spec):
        import warnings
        from importlib import import_module
        new = moved[spec.name.rpartition('.')[2]]
        warnings.warn(f'{spec.name} is {new} since galfast 0.3', DeprecationWarning, stacklevel=2)
        module = import_module(new)
        spec.loader_state = module.__spec__
        return module
    def exec_module(self, module): module.__spec__ = module.__spec__.loader_state # it stays what it is

if not any(isinstance(o, Moved) for o in sys.meta_path): sys.meta_path.append(Moved())
