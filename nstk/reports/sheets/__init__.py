"""Contact sheets: pictures, charts and heat maps side by side in one picture, with captions."""
