"A kind of target as somebody would add it, after CONTRIBUTING: numbers above zero, learned and given as their logarithms"
from dataclasses import dataclass

import numpy as np

from galfast.data.heads import NumberHead,register_head

@register_head
@dataclass
class LogHead(NumberHead):
    "The decimal logarithm of a number above zero, such as a mass"
    task = 'log'

    @classmethod
    def suits(cls, kinds, values): return False # it is asked for by name
    @classmethod
    def left_in(cls, columns, target): return False
    def values(self, df):
        v = super().values(df)
        return np.log10(np.where(v>0, v, np.nan))
