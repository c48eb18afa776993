"""Contact sheets: images, charts and heat maps side by side in one image, with captions."""
