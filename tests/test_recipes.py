"What a recipe is made of, and what is refused"
import pytest

from galfast.base.core import GalfastError

recipes = pytest.importorskip('galfast.training.recipes')
from galfast.training.recipes import choose_recipe

def test_asked_and_not_done_is_refused():
    c = choose_recipe
    for kw,word in ((dict(quick=True, fast=False), 'fast'), (dict(members=0, epochs=3), 'epochs'), (dict(smooth=.1), 'smooth'), (dict(opt='sgd'), 'sgd'), (dict(window=64, size=64), 'window'),
                    (dict(gp_weight=0., keep=80), 'keep'), (dict(lr=-1.), 'lr'), (dict(warmup=2.), 'warmup'), (dict(gp_weight=1.5), 'gp_weight'), (dict(arch='vgg99'), 'vgg99')):
        with pytest.raises(GalfastError, match=word): c(400, 'regression', **kw)
    assert c(400, 'regression', compile=False, quick=True).members==0

@pytest.mark.parametrize('task', ['regression', 'classification', 'votes', 'multilabel'])
def test_more_galaxies_more_steps_in_fewer_epochs(task):
    few,more = (choose_recipe(n, task) for n in (400, 4000))
    steps = lambda r, n: r.epochs*n/r.bs
    assert few.epochs>=more.epochs and steps(few, 400)<steps(more, 4000)

def test_several_targets_take_as_long_as_the_slowest():
    alone = [choose_recipe(1800, o).epochs for o in ('regression', 'classification')]
    assert choose_recipe(1800, ['regression', 'classification']).epochs==max(alone)

def test_from_many_galaxies_on_it_is_the_network_of_the_blog():
    few,many = (choose_recipe(n, 'regression') for n in (recipes.many_galaxies-1, recipes.many_galaxies))
    assert (few.arch, many.arch, many.members, many.gp_weight)==('galnet', 'xresnet34', 1, 0)
