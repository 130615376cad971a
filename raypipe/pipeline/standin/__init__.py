"""An autoencoder that the small model begins with where there is no GPU."""
