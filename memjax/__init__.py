# SPDX-License-Identifier: Apache-2.0
"""memjax: memory networks in JAX.

Memory is a value: a frozen pytree of pre-allocated arrays. Writing returns a new memory; reading is a pure function of
memory and query. The Memory Network (Weston et al. 2015), the Long Short-Term Memory-Network (Cheng et al. 2016) and
their closest kin are functions around that value.

Importing this package is cheap: it loads neither tensorflow, tensorflow_datasets, orbax, grain, matplotlib nor tyro.
"""

from memjax.errors import DataError, RunError
from memjax.nn import LSTM, LSTMN, DeepFusion, LSTMNCell, ShallowFusion

__all__ = [
    "LSTM",
    "LSTMN",
    "DataError",
    "DeepFusion",
    "LSTMNCell",
    "RunError",
    "ShallowFusion",
    "__version__",
]

__version__ = "0.1.0"
