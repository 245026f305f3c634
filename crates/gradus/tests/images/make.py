"""Makes the JPEG images of the tests, 20×12 ramps: `pip install pillow && python3 make.py`."""

from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
WIDTH, HEIGHT = 20, 12

gray = Image.new("L", (WIDTH, HEIGHT))
gray.putdata([12 * x for _ in range(HEIGHT) for x in range(WIDTH)])
color = Image.new("RGB", (WIDTH, HEIGHT))
color.putdata([(12 * x, 20 * y, 128) for y in range(HEIGHT) for x in range(WIDTH)])

gray.save(HERE / "gray.jpg", quality=95)
color.save(HERE / "color.jpg", quality=95)
color.save(HERE / "progressive.jpg", quality=95, progressive=True)
color.convert("CMYK").save(HERE / "cmyk.jpg", quality=95)
