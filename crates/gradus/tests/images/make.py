"""Makes the JPEG images of the tests, 20×12 ramps: `pip install pillow && python3 make.py`."""

from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
WIDTH, HEIGHT = 20, 12

grey = Image.new("L", (WIDTH, HEIGHT))
grey.putdata([12 * x for _ in range(HEIGHT) for x in range(WIDTH)])
colour = Image.new("RGB", (WIDTH, HEIGHT))
colour.putdata([(12 * x, 20 * y, 128) for y in range(HEIGHT) for x in range(WIDTH)])

grey.save(HERE / "grey.jpg", quality=95)
colour.save(HERE / "colour.jpg", quality=95)
colour.save(HERE / "progressive.jpg", quality=95, progressive=True)
colour.convert("CMYK").save(HERE / "cmyk.jpg", quality=95)
