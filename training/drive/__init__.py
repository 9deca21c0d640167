"""The scene behind the sample drive: a small software renderer, cars, a street and a script."""
