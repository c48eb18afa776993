"""Self-contained HTML pages: a few kinds of block, one stylesheet, nothing from elsewhere.

    write_page(Page("Insects", "A linear head on mobilenet-0.75", [
        Headline([Figure("accuracy", "94.1 %", "90.1–96.5 %")]),
        Section("Confusion matrix", [HeatMap(names, names, counts, "true", "predicted")]),
    ]), "report.html")

Blocks are frozen values; templates hold all the markup and escape every text. A page has no
script and loads nothing: its content security policy forbids both, so it looks the same on any
machine, today and in ten years. Charts of `nstk.reports.figures` are blocks, too.
"""

from nstk.reports.pages.blocks import Block as Block
from nstk.reports.pages.blocks import CaptionedImage as CaptionedImage
from nstk.reports.pages.blocks import Code as Code
from nstk.reports.pages.blocks import Details as Details
from nstk.reports.pages.blocks import Facts as Facts
from nstk.reports.pages.blocks import Figure as Figure
from nstk.reports.pages.blocks import Headline as Headline
from nstk.reports.pages.blocks import ImageRow as ImageRow
from nstk.reports.pages.blocks import Paragraph as Paragraph
from nstk.reports.pages.blocks import Section as Section
from nstk.reports.pages.blocks import Table as Table
from nstk.reports.pages.blocks import Value as Value
from nstk.reports.pages.page import Page as Page
from nstk.reports.pages.page import render_page as render_page
from nstk.reports.pages.page import write_page as write_page
