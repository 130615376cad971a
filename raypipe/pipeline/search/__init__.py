"""Faces like this one, but: a question to an opened index and model, its answer, and a picture of both.

``query`` is what can be asked, ``conditions`` the language of its filters, ``searcher`` answers, ``result`` is the
answer; ``sheet`` draws it.
"""
