"""Training runs: the same bits on every instruction set and number of threads, and they learn."""

import hashlib

import numpy as np

from gpu.cpu.host import as_tensor
from gpu.ops import Binary, Distribution, Unary

EPSILON = 1e-5
STEPS = 12
BATCH, SIZE, CLASSES = 16, 8, 5


def drawn(backend, stream, *shape, scale=1.0):
    """Normal numbers of a stream, times a factor."""
    x = backend.random(Distribution.NORMAL, *shape, key=(7, 11), stream=stream)
    factor = as_tensor(np.full(shape, scale, np.float32))
    return backend.combine(Binary.MULTIPLY, x, factor, out=x)


def constant(backend, value, *shape):
    """A copy of the backend's own, to be moved."""
    return backend.apply(Unary.MAGNITUDE, as_tensor(np.full(shape, value, np.float32)))


class Optimizer:
    """AdamW over named weights."""

    def __init__(self, backend, weights):
        self.backend, self.weights, self.step = backend, weights, 0
        self.moments = {
            name: [constant(backend, 0, *tensor.shape) for _ in range(2)]
            for name, tensor in weights.items()
        }

    def update(self, gradients):
        self.step += 1
        for name, gradient in gradients.items():
            weights, moments = self.weights[name], self.moments[name]
            self.backend.adamw(weights, gradient, *moments, step=self.step, rate=0.02)

    def state(self):
        return [*self.weights.values(), *(m for pair in self.moments.values() for m in pair)]


class ImageClassifier:
    """Convolution, batch norm, relu, pool; convolution, batch norm, silu, mean; linear."""

    def __init__(self, backend):
        self.backend = b = backend
        self.weights = {
            "conv1": drawn(b, 1, 3, 3, 3, 8, scale=0.2),
            "conv2": drawn(b, 2, 3, 3, 8, 20, scale=0.1),
            "linear": drawn(b, 3, 20, CLASSES, scale=0.2),
            "bias": constant(b, 0, CLASSES),
        }
        self.running = {}
        for name, width in (("norm1", 8), ("norm2", 20)):
            self.weights[name + ".weight"] = constant(b, 1, width)
            self.weights[name + ".bias"] = constant(b, 0, width)
            self.running[name] = (constant(b, 0, width), constant(b, 1, width))
        self.optimizer = Optimizer(b, self.weights)

    def normalized(self, name, x):
        w = self.weights
        return self.backend.batchnorm(
            *(x, w[name + ".weight"], w[name + ".bias"]),
            epsilon=EPSILON,
            running=self.running[name],
        )

    def step(self, x, targets):
        b, w = self.backend, self.weights
        y1 = b.conv2d(x, w["conv1"], padding=1)
        n1, *moments1 = self.normalized("norm1", y1)
        p1, taps = b.max_pool(b.apply(Unary.RELU, n1), 2)
        y2 = b.conv2d(p1, w["conv2"], stride=2, padding=1)
        n2, *moments2 = self.normalized("norm2", y2)
        size = n2.shape[1:3]
        features = b.average_pool(b.apply(Unary.SILU, n2), size).reshape(BATCH, 20)
        logits = b.add_bias(b.matmul(features, w["linear"]), w["bias"])
        loss, _, slope = b.cross_entropy(logits, targets, slope=True)
        g = {"linear": b.matmul(features, slope, left_transposed=True)}
        g["bias"] = b.column_sums(slope)
        back = b.matmul(slope, w["linear"], right_transposed=True).reshape(BATCH, 1, 1, 20)
        back = b.apply_gradient(Unary.SILU, n2, b.average_pool_input(back, size, size))
        back, g["norm2.weight"], g["norm2.bias"] = b.batchnorm_gradient(
            y2, back, w["norm2.weight"], *moments2
        )
        g["conv2"] = b.conv2d_weights(p1, back, (3, 3), stride=2, padding=1)
        back = b.conv2d_input(back, w["conv2"], p1.shape[1:3], stride=2, padding=1)
        back = b.apply_gradient(Unary.RELU, n1, b.max_pool_input(back, taps, (SIZE, SIZE), 2))
        back, g["norm1.weight"], g["norm1.bias"] = b.batchnorm_gradient(
            y1, back, w["norm1.weight"], *moments1
        )
        g["conv1"] = b.conv2d_weights(x, back, (3, 3), padding=1)
        self.optimizer.update(g)
        return loss

    def state(self):
        return [*self.optimizer.state(), *(t for pair in self.running.values() for t in pair)]


class TokenClassifier:
    """Embedding, layer norm, linear, gelu, rms norm, linear."""

    def __init__(self, backend):
        self.backend = b = backend
        self.weights = {
            "table": drawn(b, 4, 30, 24),
            "norm1.weight": constant(b, 1, 24),
            "norm1.bias": constant(b, 0, 24),
            "linear1": drawn(b, 5, 24, 40, scale=0.2),
            "norm2.weight": constant(b, 1, 40),
            "linear2": drawn(b, 6, 40, CLASSES, scale=0.1),
        }
        self.optimizer = Optimizer(b, self.weights)

    def step(self, tokens, targets):
        b, w = self.backend, self.weights
        x = b.embedding(w["table"], tokens)
        n1 = b.layernorm(x, w["norm1.weight"], w["norm1.bias"], epsilon=EPSILON)
        y = b.matmul(n1, w["linear1"])
        a = b.apply(Unary.GELU_TANH, y)
        n2 = b.rmsnorm(a, w["norm2.weight"], epsilon=EPSILON)
        loss, _, slope = b.cross_entropy(b.matmul(n2, w["linear2"]), targets, slope=True)
        g = {"linear2": b.matmul(n2, slope, left_transposed=True)}
        back = b.matmul(slope, w["linear2"], right_transposed=True)
        back, g["norm2.weight"] = b.rmsnorm_gradient(a, w["norm2.weight"], back, epsilon=EPSILON)
        back = b.apply_gradient(Unary.GELU_TANH, y, back)
        g["linear1"] = b.matmul(n1, back, left_transposed=True)
        back = b.matmul(back, w["linear1"], right_transposed=True)
        back, g["norm1.weight"], g["norm1.bias"] = b.layernorm_gradient(
            x, w["norm1.weight"], back, epsilon=EPSILON
        )
        g["table"] = b.embedding_gradient(back, tokens, 30)
        self.optimizer.update(g)
        return loss

    def state(self):
        return self.optimizer.state()


def images(arrays):
    """Noise around a picture for each class."""
    targets = np.arange(BATCH, dtype=np.int32) % CLASSES
    noise = arrays.normal(1, BATCH, SIZE, SIZE, 3)
    return noise + 2 * arrays.normal(2, CLASSES, SIZE, SIZE, 3)[targets], targets


def tokens(_arrays):
    """A class for each token."""
    drawn_tokens = np.random.default_rng(3).integers(0, 30, 300) // 2
    return drawn_tokens.astype(np.int32), (drawn_tokens % CLASSES).astype(np.int32)


def trained(backend, arrays, kind, data):
    """The losses of a run, and a digest of all it leaves."""
    network = kind(backend)
    inputs, targets = (arrays.put(backend, a) for a in data(arrays))
    losses = [arrays.get(backend, network.step(inputs, targets)).item() for _ in range(STEPS)]
    digest = hashlib.sha256()
    for tensor in network.state():
        digest.update(backend.download(tensor))
    return losses, digest.hexdigest()


def test_an_image_classifier_learns_the_same_everywhere(threaded, arrays, goldens):
    for backend in threaded:
        losses, digest = trained(backend, arrays, ImageClassifier, images)
        assert digest == goldens["training"]["images"]
        assert losses[-1] < 0.2 * losses[0]
        assert all(np.isfinite(losses))


def test_a_token_classifier_learns_the_same_everywhere(threaded, arrays, goldens):
    for backend in threaded:
        losses, digest = trained(backend, arrays, TokenClassifier, tokens)
        assert digest == goldens["training"]["tokens"]
        assert losses[-1] < 0.2 * losses[0]
        assert all(np.isfinite(losses))


def test_the_loss_falls_as_the_gradient_says(oracle, arrays):
    """A small step of all weights against their gradients: by the step times the slope."""
    for kind, data in ((ImageClassifier, images), (TokenClassifier, tokens)):
        network = kind(oracle)
        inputs, targets = (arrays.put(oracle, a) for a in data(arrays))
        gradients = {}
        network.optimizer.update = gradients.update
        before = arrays.get(oracle, network.step(inputs, targets)).item()
        first = {name: arrays.get(oracle, g).astype(np.float64) for name, g in gradients.items()}
        expected = sum((g**2).sum() for g in first.values())
        scale = 1e-3 / np.sqrt(expected)
        for name, gradient in first.items():
            moved = arrays.put(oracle, (-scale * gradient).astype(np.float32))
            weights = network.weights[name]
            oracle.combine(Binary.ADD, weights, moved, out=weights)
        after = arrays.get(oracle, network.step(inputs, targets)).item()
        assert abs((before - after) / (scale * expected) - 1) < 0.05
