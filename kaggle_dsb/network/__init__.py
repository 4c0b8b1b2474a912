"""The U-Nets: targets, augmentation, training, prediction."""
