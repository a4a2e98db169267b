"""The residual-quantized variational autoencoder."""
