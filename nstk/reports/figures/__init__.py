"""Charts: laid out once, shown as SVG on pages and as pixels on contact sheets.

chart = LineChart([Series("loss", range(1, 81), losses)], "step", "loss", log_y=True)
save_image("loss.png", draw_chart(chart))
"""

from nstk.reports.figures.charts import Bar as Bar
from nstk.reports.figures.charts import BarChart as BarChart
from nstk.reports.figures.charts import LineChart as LineChart
from nstk.reports.figures.charts import Marker as Marker
from nstk.reports.figures.charts import Series as Series
from nstk.reports.figures.charts import Spot as Spot
from nstk.reports.figures.charts import mark_stages as mark_stages
from nstk.reports.figures.colors import paint_shares as paint_shares
from nstk.reports.figures.grids import Box as Box
from nstk.reports.figures.grids import Chain as Chain
from nstk.reports.figures.grids import HeatMap as HeatMap
from nstk.reports.figures.painting import draw_chart as draw_chart
from nstk.reports.figures.painting import to_pillow as to_pillow
