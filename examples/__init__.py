"""The flow as a person sees it: sample changes of a shop, and a run of everything."""

from lastword.process import interrupt

interrupt.stand_behind_import(__name__)
