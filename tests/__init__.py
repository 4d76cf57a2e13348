from lastword.process import interrupt

interrupt.stand_behind_import(__name__)
