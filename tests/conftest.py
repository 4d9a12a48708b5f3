"Every test starts from the same random numbers, whatever ran before it"
import random,sys

import numpy as np
import pytest

@pytest.fixture(autouse=True)
def same_random_numbers():
    random.seed(0)
    np.random.seed(0) # noqa: NPY002
    if 'torch' in sys.modules: sys.modules['torch'].manual_seed(0)
