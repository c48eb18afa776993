"""Self-contained HTML pages: a few kinds of block, one stylesheet, nothing from elsewhere.

    write_page(Page("Insects", "What a head on mobilenet-0.75 knows", [
        Headline([Figure("accuracy", "94.1 %", "90.1 – 96.5 %")]),
        Section("Where it errs", [HeatMap(names, names, counts, "actual", "predicted")]),
    ]), "report.html")

Blocks are frozen values that know their layout; templates hold all the markup, and every text
that goes through them is escaped. A page has no script and may load nothing: its own policy
forbids both, so it looks the same on any machine, today and in ten years.
"""

from nstk.reports.pages.bars import Bar as Bar
from nstk.reports.pages.bars import BarChart as BarChart
from nstk.reports.pages.blocks import Block as Block
from nstk.reports.pages.blocks import Box as Box
from nstk.reports.pages.blocks import Cell as Cell
from nstk.reports.pages.blocks import Chain as Chain
from nstk.reports.pages.blocks import Code as Code
from nstk.reports.pages.blocks import Details as Details
from nstk.reports.pages.blocks import Facts as Facts
from nstk.reports.pages.blocks import Figure as Figure
from nstk.reports.pages.blocks import Headline as Headline
from nstk.reports.pages.blocks import ImageRow as ImageRow
from nstk.reports.pages.blocks import Paragraph as Paragraph
from nstk.reports.pages.blocks import Section as Section
from nstk.reports.pages.blocks import Table as Table
from nstk.reports.pages.embedding import CaptionedImage as CaptionedImage
from nstk.reports.pages.heat_maps import HeatMap as HeatMap
from nstk.reports.pages.lines import LineChart as LineChart
from nstk.reports.pages.lines import Marker as Marker
from nstk.reports.pages.lines import Series as Series
from nstk.reports.pages.page import Page as Page
from nstk.reports.pages.page import render_page as render_page
from nstk.reports.pages.page import write_page as write_page
