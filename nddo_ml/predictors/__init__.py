"""How a training or an evaluation gets predictions: direct, cached, from the last density, beside a fixed field."""
