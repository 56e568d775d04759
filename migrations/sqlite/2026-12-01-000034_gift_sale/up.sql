-- A gift that is withdrawn from sale stays in the catalogue: records of gifts refer to it, and a retry of one that was
-- given before is answered as committed.
ALTER TABLE gifts ADD COLUMN on_sale INTEGER NOT NULL DEFAULT 1 CHECK (on_sale IN (0, 1));
