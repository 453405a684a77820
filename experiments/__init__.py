# SPDX-License-Identifier: Apache-2.0
"""The tables of the papers: recipes, seeds and a table for each."""
