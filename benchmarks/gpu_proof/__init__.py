"""What a CUDA card has to show before rounds on it are relied on: ``-m benchmarks.gpu_proof``.

It needs torch, transformers, peft, accelerate, safetensors and numpy, no Django and no network.
"""
