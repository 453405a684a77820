# SPDX-License-Identifier: Apache-2.0
"""The `memjax` command."""

from memjax.cli.main import main

__all__ = ["main"]
