"""The numbered SQL files of the schema, in ``sql/``: applied in order, once, never altered afterwards.

A file is named ``NNNN_words.sql``; it runs in one transaction of its own and therefore holds no ``begin`` or
``commit``.
"""
