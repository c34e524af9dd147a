"""What is watched while a stage runs: parts, speed, data health, routing, a board of pictures, and tables to search."""

from triscope.callbacks.charts import ChartsByTask
from triscope.callbacks.data_health import DataHealth
from triscope.callbacks.parts_table import PartsTable
from triscope.callbacks.picture_board import PictureBoard
from triscope.callbacks.routing import RoutingPicture
from triscope.callbacks.run_tables import RunTables
from triscope.callbacks.throughput import Throughput

__all__ = ["ChartsByTask", "DataHealth", "PartsTable", "PictureBoard", "RoutingPicture", "RunTables", "Throughput"]
