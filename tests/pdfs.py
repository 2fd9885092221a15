"""Small PDFs for tests, written by hand: nothing that the project needs can draw them."""

from io import BytesIO
from pathlib import Path

from pypdf import PdfReader, PdfWriter

PICTURE = "q 100 0 0 100 72 500 cm /Im1 Do Q"


def lines_page(*lines: str) -> str:
    """Return what a page draws to show lines below one another, an empty one as a gap."""
    shown = [f"({line}) Tj" if line else "" for line in lines]
    return f"BT /F1 12 Tf 14 TL 72 720 Td {' T* '.join(shown)} ET"


def make_pdf(*pages: str) -> bytes:
    """Return a PDF whose pages draw these; text is in Latin-1, and there is a picture /Im1."""
    kids = " ".join(f"{5 + 2 * n} 0 R" for n in range(len(pages)))
    image = "<</Type/XObject/Subtype/Image/Width 1/Height 1/BitsPerComponent 8"
    parts = [
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        f"{image}/ColorSpace/DeviceGray/Length 1>>\nstream\nx\nendstream",
    ]
    for number, drawn in enumerate(pages):
        uses = "<</Font<</F1 3 0 R>>/XObject<</Im1 4 0 R>>>>" if "Do" in drawn else ""
        uses = uses or "<</Font<</F1 3 0 R>>>>"
        parts.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources{uses}"
            f"/Contents {6 + 2 * number} 0 R>>"
        )
        parts.append(f"<</Length {len(drawn)}>>\nstream\n{drawn}\nendstream")
    return _with_table(parts)


def write_pdf(path: Path, *pages: str, password: str | None = None, opens: str = "") -> Path:
    """Write a PDF; with a password for its owner, one that opens with another."""
    data = make_pdf(*pages)
    if password is not None:
        writer = PdfWriter(clone_from=PdfReader(BytesIO(data)))
        writer.encrypt(opens, password, algorithm="AES-256")
        locked = BytesIO()
        writer.write(locked)
        data = locked.getvalue()
    path.write_bytes(data)
    return path


def _with_table(parts: list[str]) -> bytes:
    """Return the objects of a PDF with the table of where each is."""
    data, places = b"%PDF-1.7\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{part}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(parts) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<</Size {size}/Root 1 0 R>>\n"
    return data + f"{end}startxref\n{len(data)}\n%%EOF\n".encode()
