"""Speed, as ratios measured side by side in one run; never in a timed test."""

from lastword.process import interrupt

interrupt.stand_behind_import(__name__)
