"""Building blocks of organic molecules as SMILES: ends, links, rings, residues of peptides, sugars, nucleobases.

``*`` marks where a block is bonded to another. Rings have no marks: they are substituted at any C–H or N–H.
"""

ENDS: dict[str, tuple[str, ...]] = {
    "HCNO": (
        *("*C", "*CC", "*CCC", "*C(C)C", "*CC(C)C", "*C(C)(C)C", "*C1CC1", "*C=C", "*CC=C", "*C=C(C)C", "*C#C"),
        *("*O", "*CO", "*CCO", "*OC", "*OCC", "*COC", "*CCOC", "*OC(C)C", "*C(C)O", "*C(C)(C)O", "*CC(C)O"),
        *("*N", "*NC", "*N(C)C", "*CN", "*CCN", "*CN(C)C", "*CCN(C)C", "*NCC", "*C(C)N", "*NN", "*NO", "*ON"),
        *("*C=O", "*C(C)=O", "*C(=O)O", "*CC(=O)O", "*C(=O)OC", "*C(N)=O", "*C(=O)NC", "*C(=O)N(C)C", "*NC(C)=O"),
        *("*NC(N)=O", "*NC(=O)OC", "*OC(C)=O", "*OC(N)=O", "*C#N", "*CC#N", "*[N+](=O)[O-]", "*C=NO", "*C(N)=N"),
        *("*NC(N)=N", "*N=[N+]=[N-]", "*C(=O)NO", "*C(=O)NN", "*N=C=O", "*C(=O)C#N", "*OCC#C", "*C(=O)C=C"),
    ),
    "S": (
        *("*SC", "*SCC", "*CSC", "*S", "*CS", "*CCS", "*SSC", "*S(C)=O", "*S(C)(=O)=O", "*S(N)(=O)=O"),
        *("*S(=O)(=O)NC", "*NS(C)(=O)=O", "*CS(C)(=O)=O", "*C(N)=S", "*NC(N)=S", "*C(=O)SC", "*SC#N", "*N=C=S"),
        *("*S(=O)(=O)O", "*OS(C)(=O)=O", "*SC(C)=O", "*N=S(C)(C)=O", "*S(=O)(=O)N(C)C", "*CCSC"),
    ),
    "F": (
        *("*F", "*CF", "*C(F)F", "*C(F)(F)F", "*CC(F)(F)F", "*OC(F)(F)F", "*OC(F)F", "*CCF", "*C(F)(F)C"),
        *("*C(=O)C(F)(F)F", "*OCC(F)(F)F", "*C(O)C(F)(F)F", "*C=C(F)F", "*NC(=O)C(F)F"),
    ),
    "Cl": ("*Cl", "*CCl", "*CCCl", "*C(Cl)Cl", "*C(Cl)(Cl)Cl", "*C=CCl", "*C(=O)CCl", "*C(C)Cl", "*OCCCl"),
    "FS": ("*SC(F)(F)F", "*SC(F)F", "*S(=O)(=O)C(F)(F)F", "*S(=O)(=O)F"),
    "P": ("*P(C)(C)=O", "*OP(=O)(O)O", "*P(=O)(O)O", "*OP(=O)(OC)OC", "*CP(=O)(OC)OC", "*P(C)C", "*CP(C)C"),
    "Br": ("*Br", "*CBr", "*C=CBr", "*C(=O)CBr"),
    "I": ("*I", "*CI", "*CCI"),
}

LINKS: dict[str, tuple[str, ...]] = {
    "HCNO": (
        *("*C*", "*CC*", "*CCC*", "*C(C)*", "*C(C)(C)*", "*C=C*", "*C#C*", "*O*", "*OC*", "*OCC*", "*COC*", "*OCCO*"),
        *("*N*", "*N(C)*", "*NC*", "*NCC*", "*CN(C)C*", "*CNC*", "*C(=O)*", "*C(=O)C*", "*C(=O)O*", "*OC(=O)C*"),
        *("*C(=O)N*", "*C(=O)N(C)*", "*C(=O)NC*", "*NC(=O)C*", "*NC(=O)N*", "*OC(=O)N*", "*C(O)*", "*C(O)C*"),
        *("*C(=O)NN*", "*C=N*", "*N=N*", "*C=NN*", "*C=NO*", "*C(=O)C=C*", "*NC(=O)CO*", "*C(N)C*", "*CC(=O)N*"),
        *("*C(=O)NCC*", "*CC(C)*", "*C(=O)CC*", "*CON*", "*C(=N)N*", "*OC(C)*", "*C(OC)*", "*C(C#N)*"),
    ),
    "S": (
        *("*S*", "*SC*", "*CSC*", "*S(=O)*", "*S(=O)(=O)*", "*S(=O)(=O)N*", "*S(=O)(=O)C*", "*NS(=O)(=O)N*"),
        *("*SS*", "*C(=S)N*", "*NC(=S)N*", "*C(=O)S*", "*SCC(=O)*", "*S(=O)C*", "*SCC*", "*OS(=O)(=O)*"),
        *("*S(=O)(=O)N(C)*", "*SC(=O)N*", "*CSC=C*"),
    ),
    "F": ("*C(F)*", "*C(F)(F)*", "*CC(F)(F)*", "*C(F)=C*", "*OC(F)(F)*"),
    "Cl": ("*C(Cl)*", "*C(Cl)=C*", "*C(CCl)*"),
    "FS": ("*SC(F)(F)*",),
    "P": ("*P(C)(=O)*", "*OP(C)(=O)O*", "*P(=O)(O)*", "*NP(=O)(OC)O*"),
    "Br": ("*C(Br)*", "*C(Br)=C*"),
    "I": (),
}

RINGS: dict[str, tuple[str, ...]] = {
    "HCNO": (
        *("c1ccccc1",) * 4,
        *("c1ccncc1", "c1ccnnc1", "c1cncnc1", "c1cnccn1", "c1ncncn1", "c1cc[nH]c1", "c1ccoc1", "c1cnc[nH]1"),
        *("c1cn[nH]c1", "c1cocn1", "c1cnoc1", "c1nc[nH]n1", "c1c[nH]nn1", "c1nn[nH]n1", "c1nnco1", "c1ncon1"),
        *("c1ccc2[nH]ccc2c1", "c1ccc2occc2c1", "c1ccc2[nH]ncc2c1", "c1ccc2[nH]cnc2c1", "c1ccc2ncccc2c1"),
        *("c1ccc2cnccc2c1", "c1ccc2ncncc2c1", "c1ccc2nccnc2c1", "c1ccc2ccccc2c1", "c1cnc2[nH]ccc2c1", "c1cn2cccc2cn1"),
        *(
            "c1ccn2ccnc2c1",
            "c1ccc2c(c1)OCO2",
            "c1ccc2c(c1)OCCO2",
            "c1ccc2c(c1)CCC2",
            "c1ccc2c(c1)CCCC2",
            "O=c1cc[nH]cc1",
        ),
        *("O=c1cccc[nH]1", "O=c1ccnc[nH]1", "O=c1ccc2ccccc2o1", "O=c1ccoc2ccccc12", "O=C1Cc2ccccc2N1", "C1Cc2ccccc2N1"),
        *(
            "C1CC1",
            "C1CCC1",
            "C1CCCC1",
            "C1CCCCC1",
            "C1CCCCCC1",
            "C1=CCCCC1",
            "C1=CCCC1",
            "C1CC2CCC1C2",
            "C1CC2CCC1CC2",
        ),
        *("C1CNC1", "C1CCNC1", "C1CCNCC1", "C1CNCCN1", "C1COCCN1", "C1CCNCCC1", "C1CNCCNC1", "C1CN2CCC1CC2", "C1COC1"),
        *(
            "C1CCOC1",
            "C1CCOCC1",
            "C1COCCO1",
            "C1COCO1",
            "C1CO1",
            "C1CN1",
            "C1CC2CCC(C1)N2",
            "C1CC12CCNCC2",
            "C1CC2(C1)COC2",
        ),
        *(
            "O=C1CCCN1",
            "O=C1CCCCN1",
            "O=C1CCN1",
            "O=C1CNC(=O)N1",
            "O=C1CCC(=O)N1",
            "O=C1CCCO1",
            "O=C1OCCN1",
            "O=C1CCCC1",
        ),
        *(
            "O=C1CCCCC1",
            "O=C1CCC=C1",
            "O=C1C=CCC1",
            "O=C1NC(=O)c2ccccc12",
            "O=C1CC(=O)NC(=O)N1",
            "O=C1CNCCN1",
            "C1CNNC1",
        ),
        *("C1=NCCN1", "C1=NOCC1", "C1CONC1", "C1CCC2CCCCC2C1", "C1CCC2NCCCC2C1", "O=C1NCc2ccccc12", "c1ccc2c(c1)CCNC2"),
    ),
    "S": (
        *("c1ccsc1", "c1cscn1", "c1cnsc1", "c1nncs1", "c1ncsn1", "c1cnns1", "c1ccc2sccc2c1", "c1ccc2scnc2c1"),
        *(
            "c1cnc2sccc2c1",
            "c1csc2cncn12",
            "C1CCSC1",
            "C1CCSCC1",
            "C1CSCCN1",
            "C1CSCN1",
            "O=C1CSC(=O)N1",
            "O=S1(=O)CCCC1",
        ),
        *(
            "O=S1(=O)CCCN1",
            "O=S1(=O)CCNCC1",
            "C1CSCCS1",
            "C1CSC1",
            "C1=CCSC1",
            "O=C1CSCN1",
            "S=C1NCCN1",
            "c1ccc2c(c1)NCCS2",
        ),
        *("O=S1CCCC1", "C1CSCS1", "O=c1[nH]ccs1", "c1csc2ccsc12"),
    ),
    "F": (),
    "Cl": (),
    "FS": (),
    "P": ("C1CCPC1", "CP1(=O)CCCC1", "O=P1(O)OCCO1"),
    "Br": (),
    "I": (),
}

BOWLS = (  # polycycles that are flat or bowls, by little energy
    *("c1cc2ccc3ccc4ccc5ccc1c1c2c3c4c51", "c1cc2ccc3ccc4ccc5cnc1c1c2c3c4c51", "c1ccc2c3cccc4cccc(c2c1)c43"),
    *("C1C2=C3C4=C1C=CC5=C4C6=C(C5)C=CC7=C6C3=C(C7)C=C2", "C1=Cc2cccc3cccc1c23", "C1=Cc2cc3c4c(c2C1)C=Cc4ccc3"),
    *("C1c2cccc3c2-c2c1cccc2C3", "c1cc2cccc3c4cccc5cccc(c(c1)c23)c54"),
    *("N1c2cccc3cccc1c23", "O1c2cccc3cccc1c23", "C1=CC2=CC=CC3=CC=CC1=C23", "c1cc2c3c(c1)Cc1cccc(c13)C2"),
)

SIDE_CHAINS = {  # of the amino acids, bonded to Cα; proline closes its ring and is written apart
    "G": "",
    "A": "C",
    "V": "C(C)C",
    "L": "CC(C)C",
    "I": "C(C)CC",
    "S": "CO",
    "T": "C(C)O",
    "C": "CS",
    "M": "CCSC",
    "F": "Cc1ccccc1",
    "Y": "Cc1ccc(O)cc1",
    "W": "Cc1c[nH]c2ccccc12",
    "H": "Cc1c[nH]cn1",
    "N": "CC(N)=O",
    "Q": "CCC(N)=O",
    "D": "CC(=O)O",
    "E": "CCC(=O)O",
    "K": "CCCCN",
    "R": "CCCNC(N)=N",
}
CAPS = (("CC(=O)", "NC"), ("CC(=O)", "N"), ("C(=O)", "NC"), ("", "O"), ("", "OC"), ("CC(=O)", "O"))

PYRANOSES = ("OC1CCCCO1", "OC1OCCCC1O", "OC1OCC(O)C(O)C1O", "CC1OC(O)C(O)C(O)C1O", "COC1OCCC(O)C1O")
FURANOSES = ("OC1CCCO1", "OC1COCC1O", "OCC1OCC(O)C1O", "OCC1OC(OC)CC1O", "COC1OCC(O)C1O")
SUGAR_CHANGES = ("*O", "*OC", "*N", "*NC(C)=O", "*F", "*C", "*CO", "*C(=O)O", "*SC", "*OC(C)=O")

NUCLEOBASES = (
    *("Nc1ncnc2[nH]cnc12", "Nc1nc2[nH]cnc2c(=O)[nH]1", "Nc1cc[nH]c(=O)n1", "O=c1cc[nH]c(=O)[nH]1"),
    *("Cc1c[nH]c(=O)[nH]c1=O", "O=c1[nH]cnc2[nH]cnc12", "O=c1[nH]c(=O)c2[nH]cnc2[nH]1"),
    *("Nc1nc(N)c2[nH]cnc2n1", "S=c1[nH]cnc2[nH]cnc12", "O=c1cc[nH]c(=S)[nH]1"),
)
