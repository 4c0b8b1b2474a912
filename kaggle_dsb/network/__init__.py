"""The U-Nets, the engines that run them, and prediction."""
