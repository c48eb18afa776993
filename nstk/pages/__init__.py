"""Self-contained HTML pages: a few kinds of block, one stylesheet, nothing from elsewhere.

    write_page(Page("Insects", "What a head on mobilenet-0.75 knows", [
        Headline([Figure("accuracy", "94.1 %", "90.1 – 96.5 %")]),
        Section("Where it errs", [HeatMap(names, names, counts, "actual", "predicted")]),
    ]), "report.html")

Blocks are frozen values that know their layout; templates hold all the markup, and every text
that goes through them is escaped. A page has no script and may load nothing: its own policy
forbids both, so it looks the same on any machine, today and in ten years.
"""

from nstk.pages.bars import Bar as Bar
from nstk.pages.bars import BarChart as BarChart
from nstk.pages.blocks import Block as Block
from nstk.pages.blocks import Box as Box
from nstk.pages.blocks import Cell as Cell
from nstk.pages.blocks import Chain as Chain
from nstk.pages.blocks import Code as Code
from nstk.pages.blocks import Details as Details
from nstk.pages.blocks import Facts as Facts
from nstk.pages.blocks import Figure as Figure
from nstk.pages.blocks import Headline as Headline
from nstk.pages.blocks import Paragraph as Paragraph
from nstk.pages.blocks import PictureRow as PictureRow
from nstk.pages.blocks import Section as Section
from nstk.pages.blocks import Table as Table
from nstk.pages.embedding import CaptionedPicture as CaptionedPicture
from nstk.pages.heat_maps import HeatMap as HeatMap
from nstk.pages.lines import LineChart as LineChart
from nstk.pages.lines import Marker as Marker
from nstk.pages.lines import Series as Series
from nstk.pages.page import Page as Page
from nstk.pages.page import render_page as render_page
from nstk.pages.page import write_page as write_page
