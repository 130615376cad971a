"""Faces and their five landmarks in a picture: MTCNN (Zhang et al. 2016), with weights that a user brings."""

from raypipe.backbones.mtcnn.cascade import Cascade, FoundFace, largest_face
from raypipe.backbones.mtcnn.weights import FILES, load_cascade

__all__ = ["FILES", "Cascade", "FoundFace", "largest_face", "load_cascade"]
