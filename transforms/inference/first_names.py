"""First names that many people have, in several parts of the world, without marks on letters.

Names that places, months or things have as well (Florence, Austin, April, Rose) are left out.
"""

from __future__ import annotations

from typing import Final

from schemas.functions import names

FIRST_NAMES: Final = names(
    """
    james john robert michael william david richard joseph thomas charles mary patricia
    jennifer linda elizabeth barbara susan jessica sarah karen christopher matthew anthony
    donald steven andrew kenneth joshua kevin brian timothy ronald jason jeffrey ryan jacob
    nicholas jonathan stephen larry justin scott brandon benjamin samuel gregory patrick
    alexander jack dennis tyler aaron nathan zachary kyle ethan jeremy nancy betty lisa
    margaret sandra ashley kimberly emily donna michelle amanda melissa deborah stephanie
    rebecca sharon cynthia kathleen amy angela shirley brenda pamela nicole katherine
    christine catherine samantha debra janet rachel carolyn heather maria diane julie joyce
    evelyn kelly lauren megan cheryl andrea hannah jacqueline martha gloria teresa sara ann
    anna jean alice judy sophia emma olivia noah liam lucas mia bob carol eve daniel mark
    laura julia george edward henry frank arthur walter harry albert peter paul simon philip
    oliver jake harriet fiona nigel graham ian gareth siobhan sean niamh ciaran declan
    hans klaus juergen jurgen wolfgang dieter uwe manfred stefan stephan andreas matthias
    sabine monika petra ursula renate helga ingrid karin heike birgit anke katrin kathrin
    lukas jonas felix maximilian leonie lena johanna franziska sebastian florian tobias
    pierre jacques francois michel philippe alain bernard christophe nicolas laurent julien
    isabelle nathalie sylvie valerie sandrine celine camille chloe mathieu antoine guillaume
    benoit thierry veronique brigitte monique aurelie marie jose juan carlos ana luis jorge
    miguel antonio manuel francisco javier rafael fernando pedro pablo alejandro sergio
    alvaro diego andres ricardo eduardo raul carmen pilar dolores josefa lucia cristina
    marta elena isabel beatriz sofia valentina camila gabriela mariana joao paulo rodrigo
    thiago gustavo felipe bruno leticia fernanda juliana larissa giovanni giuseppe marco
    luca matteo francesca chiara giulia alessandro lorenzo davide paolo roberto stefano
    federica elisa paola silvia jan piotr krzysztof andrzej tomasz pawel marcin agnieszka
    malgorzata katarzyna ewa magdalena zofia zuzana pavel jiri petr tomas marek milan jana
    lenka ondrej istvan laszlo zoltan gabor ferenc attila katalin erzsebet zsuzsanna ion
    gheorghe andrei mihai ioana elena dragan zoran goran nikola jelena ivana milica marija
    ivan dmitri dmitry sergei sergey vladimir aleksandr alexei alexey nikolai mikhail
    anastasia olga natalia natalya tatiana tatyana irina svetlana ekaterina yulia oleksandr
    oksana andriy mykola lars erik anders nils johan karl sven bjorn mikael gunnar kristian
    magnus henrik soren astrid ingeborg birgitta annika kirsten mette liv solveig juhani
    matti timo pekka antti sanna tuula paivi aino dimitris giorgos konstantinos yannis
    nikos maria eleni katerina mehmet mustafa ahmet huseyin murat emre hatice zeynep elif
    ayse mohammed muhammad mohamed ahmed ali hassan hussein omar khalid ibrahim youssef
    abdullah abdul fatima aisha khadija zainab amina layla noor yusuf tariq bilal karim
    amir reza mehdi hossein maryam zahra parisa david moshe yosef avraham shlomo rivka
    miriam tamar raj rahul amit anil sunil vijay rajesh suresh ramesh sanjay arjun rohan
    aditya vikram priya anita sunita pooja neha kavita lakshmi deepa shreya ananya anjali
    imran faisal salman nadia ayesha wei li chen wang zhang liu yang jing ming xiaoming
    hui yan mei xiu jun hiroshi takashi kenji yuki akira satoshi kazuo haruto yuko keiko
    sakura yumi naoko minjun jihoon seoyeon jiwoo sungmin hyunwoo nguyen tran minh linh
    somchai siti budi agus dewi putri sri nurul kwame kofi ama akosua abena chinedu
    chukwuemeka ngozi adaeze oluwaseun tunde funke emeka ifeoma thabo sipho nomsa lerato
    themba wanjiku kamau njoroge otieno achieng tendai
    """
)
